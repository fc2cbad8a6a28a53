"""A training step in PyTorch, as one would write it, eager or compiled: the peer of refq's kd_step."""

import numpy as np
import torch
from torch.nn import functional


class Grid(torch.autograd.Function):
    """Weights on their 4-bit grids, steps rounded to float16; LSQ's gradients, a step's over sqrt(numbers * 7)."""

    @staticmethod
    def forward(ctx, w, scale):
        s = scale.half().to(scale.dtype)
        v = (w.float() / s.float()).to(w.dtype)  # codes are those of float32, whatever the dtype
        q = torch.clamp(torch.round(v), -8, 7)
        ctx.save_for_backward(v, q)
        return q * s

    @staticmethod
    def backward(ctx, g):
        v, q = ctx.saved_tensors
        inside = (v > -8) & (v < 7)
        slope = torch.where(inside, q - v, q)
        return g * inside, (g * slope).sum(1, keepdim=True) / (7 * v.shape[1]) ** 0.5


class Torch:
    """Teacher, student and optimizer, with the interface of the other side; without "kl" in the recipe no teacher."""

    def __init__(self, config, teacher, student, tokens, recipe, dtype="float32", compiled=False):
        self.config, self.tokens, self.clip = config, torch.from_numpy(tokens), recipe["clip"]
        loss = self._divergence if "kl" in recipe["losses"] else self._entropy
        self.loss = torch.compile(loss) if compiled else loss
        dtype = getattr(torch, dtype)
        self.teacher = {name: torch.from_numpy(w).to(dtype) for name, w in teacher.items()}
        self.params = {name: torch.from_numpy(w.copy()).to(dtype).requires_grad_() for name, w in student.items()}
        weights, scales = ([w for n, w in self.params.items() if n.endswith("_scale") == are] for are in (False, True))
        groups = [
            {"params": weights, "lr": recipe["learning_rate"]},
            {"params": scales, "lr": recipe["scale_learning_rate"]},
        ]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.0, fused=True)
        d, T = config["head_dim"], tokens.shape[1]
        angles = np.arange(T)[:, None] * config["rope_theta"] ** (-np.arange(0, d, 2) / d)
        self.cos, self.sin = (torch.from_numpy(np.tile(f(angles), 2)).to(dtype) for f in (np.cos, np.sin))

    def step(self):
        self._backward()
        torch.nn.utils.clip_grad_norm_(self.params.values(), self.clip)
        self.optimizer.step()

    def gradients(self):
        self._backward()
        return {name: w.grad.numpy() for name, w in self.params.items()}

    def _backward(self):
        self.optimizer.zero_grad()
        self.loss(self.params, self.teacher).backward()

    def _divergence(self, params, teacher):
        with torch.no_grad():
            teacher = functional.log_softmax(self._logits(teacher), -1)
        student = functional.log_softmax(self._logits(params), -1)
        return functional.kl_div(student, teacher, log_target=True, reduction="batchmean")

    def _entropy(self, params, _):
        return functional.cross_entropy(self._logits(params), self.tokens.flatten())

    def _logits(self, params):
        """(positions, vocabulary)."""
        x = functional.embedding(self.tokens, params["model.embed_tokens.weight"])
        for layer in range(self.config["num_hidden_layers"]):
            name = f"model.layers.{layer}"
            x = x + self._attention(params, name, self._norm(params, f"{name}.input_layernorm", x))
            h = self._norm(params, f"{name}.post_attention_layernorm", x)
            gate, up = (self._linear(params, f"{name}.mlp.{kind}_proj", h) for kind in ("gate", "up"))
            x = x + self._linear(params, f"{name}.mlp.down_proj", functional.silu(gate) * up)
        return functional.linear(self._norm(params, "model.norm", x), params["model.embed_tokens.weight"]).flatten(0, 1)

    def _attention(self, params, name, h):
        H, K, d = (self.config[key] for key in ("num_attention_heads", "num_key_value_heads", "head_dim"))
        B, T, _ = h.shape
        q, k, v = (
            self._linear(params, f"{name}.self_attn.{kind}_proj", h).view(B, T, heads, d).transpose(1, 2)
            for kind, heads in (("q", H), ("k", K), ("v", K))
        )
        q, k = self._rotated(q), self._rotated(k)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=K < H)
        return self._linear(params, f"{name}.self_attn.o_proj", y.transpose(1, 2).reshape(B, T, H * d))

    def _rotated(self, x):
        first, second = x.chunk(2, -1)
        return x * self.cos + torch.cat([-second, first], -1) * self.sin

    def _linear(self, params, name, x):
        w, scale = params[f"{name}.weight"], params.get(f"{name}.weight_scale")
        return functional.linear(x, w if scale is None else Grid.apply(w, scale))

    def _norm(self, params, name, x):
        return functional.rms_norm(x, x.shape[-1:], params[f"{name}.weight"], self.config["rms_norm_eps"])
