// The operators of SPEC.md in JavaScript, written from SPEC.md and golden/README.md alone. No dependency.
//   refq conform --command "node tests/peers/javascript/adapter.mjs"
import { createInterface } from "node:readline";

const LIMIT = 2 ** 20;
const fail = (name, message) => { throw Object.assign(new Error(message), { name }); };
const need = (right, name, message) => { if (!right) fail(name, message); };

// ---------------------------------------------------------------- arrays: {dtype, shape, data}, flat in C order

const size = shape => shape.reduce((a, b) => a * b, 1);
const array = (dtype, shape, data) => ({ dtype, shape, data });
const scalar = (dtype, value) => array(dtype, [], [value]);
const isArray = v => v !== null && typeof v === "object" && "dtype" in v;
const isFloat = dtype => dtype === "float32" || dtype === "float64";
const isInteger = v => typeof v === "number" && Number.isInteger(v);
const rounder = dtype => (dtype === "float32" ? Math.fround : v => v);
const last = shape => shape[shape.length - 1];
const map = (x, dtype, f) => array(dtype, x.shape, x.data.map(f));

const SPECIAL = { NaN: NaN, Infinity: Infinity, "-Infinity": -Infinity, "-0.0": -0 };
const READ = { uint8: "getUint8", int8: "getInt8", uint16: "getUint16", int16: "getInt16", uint32: "getUint32", int32: "getInt32",
  float32: "getFloat32", float64: "getFloat64" };

function decode(value) {
  if (Array.isArray(value)) return value.map(decode);
  if (value === null || typeof value !== "object") return value;
  if (!("dtype" in value)) return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, decode(v)]));
  if ("hex" in value) {
    const bytes = Buffer.from(value.hex, "hex"), view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const width = bytes.length / size(value.shape) || 1;
    return array(value.dtype, value.shape, Array.from({ length: bytes.length / width }, (_, i) => view[READ[value.dtype]](i * width, true)));
  }
  return array(value.dtype, value.shape, value.data.map(v => rounder(value.dtype)(typeof v === "string" ? SPECIAL[v] : v)));
}

function encode(value) {
  if (Array.isArray(value)) return value.map(encode);
  if (!isArray(value)) return value;
  const data = value.data.map(v => (Number.isFinite(v) ? (Object.is(v, -0) ? "-0.0" : v) : String(v)));
  return array(value.dtype, value.shape, data);
}

function like(name, value, shape, dtype) { // a partner of x: an array of its dtype or a bare number, broadcast to its shape
  if (typeof value === "number") value = scalar(dtype, rounder(dtype)(value));
  need(isArray(value) && (value.dtype === dtype || (!isFloat(dtype) && !isFloat(value.dtype) && value.dtype !== "bool")),
    "DtypeError", `${name} must be ${dtype}`);
  const extra = shape.length - value.shape.length;
  need(extra >= 0 && value.shape.every((n, i) => n === 1 || n === shape[i + extra]), "ShapeError", `${name} does not broadcast`);
  return array(dtype, shape, Array.from({ length: size(shape) }, (_, index) => {
    let at = 0, stride = 1;
    for (let axis = shape.length - 1; axis >= extra; axis--) {
      const n = value.shape[axis - extra];
      at += (n === 1 ? 0 : index % shape[axis]) * stride;
      stride *= n;
      index = Math.floor(index / shape[axis]);
    }
    return value.data[at];
  }));
}

const real = (name, x) => { need(isArray(x) && isFloat(x.dtype), "DtypeError", `${name} must be float32 or float64`); return x; };
const whole = (name, q) => {
  if (isInteger(q)) q = scalar("int32", q);
  need(isArray(q) && !isFloat(q.dtype) && q.dtype !== "bool", "DtypeError", `${name} must be integers`);
  return q;
};
const finite = (name, x) => { need(x.data.every(Number.isFinite), "NonFiniteError", `${name} holds NaN or infinity`); return x; };
const same = (name, x, shape) => { need(String(x.shape) === String(shape), "ShapeError", `${name} has another shape`); return x; };
const within = (name, q) => { need(q.data.every(v => Math.abs(v) <= LIMIT), "GridError", `${name} is beyond 2**20`); return q; };
const width = (bits, largest = 8, smallest = 2) => {
  need(isInteger(bits), "DtypeError", "bits");
  need(bits >= smallest && bits <= largest, "GridError", `bits ${smallest}..${largest}`);
};
const vectors = x => { need(x.shape.length > 0 && last(x.shape) > 0, "ShapeError", "a last axis is needed"); return last(x.shape); };

function rint(v) { // ties to even
  const low = Math.floor(v), rest = v - low;
  return rest < 0.5 ? low : rest > 0.5 ? low + 1 : low % 2 === 0 ? low : low + 1;
}

// ---------------------------------------------------------------- grids

function grid(x, scale, zero_point, qmin, qmax) {
  need(isInteger(qmin) && isInteger(qmax), "DtypeError", "limits must be integers");
  need(-LIMIT <= qmin && qmin < qmax && qmax <= LIMIT, "GridError", "limits are no grid");
  real("x", x);
  scale = like("scale", scale, x.shape, x.dtype);
  need(scale.data.every(s => Number.isFinite(s) && s !== 0), "GridError", "scale holds 0, NaN or infinity");
  zero_point = within("zero_point", like("zero_point", zero_point, x.shape, "int32"));
  finite("x", x);
  const f = rounder(x.dtype);
  return i => f(rint(f(x.data[i] / scale.data[i])) + zero_point.data[i]); // the code before it is clipped
}

const clip = (v, low, high) => Math.min(Math.max(v, low), high);

function integer_range({ bits, signed = true }) {
  width(bits, 16);
  return signed ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
}

function quantize({ x, scale, zero_point, qmin, qmax }) {
  const code = grid(x, scale, zero_point, qmin, qmax);
  return map(x, "int32", (_, i) => clip(code(i), qmin, qmax));
}

function dequantize({ q, scale, zero_point }) {
  within("q", whole("q", q));
  if (typeof scale === "number") scale = scalar("float32", Math.fround(scale));
  const f = rounder(real("scale", scale).dtype), s = like("scale", scale, q.shape, scale.dtype);
  need(s.data.every(v => Number.isFinite(v) && v !== 0), "GridError", "scale holds 0, NaN or infinity");
  const z = within("zero_point", like("zero_point", zero_point, q.shape, "int32"));
  return map(q, s.dtype, (v, i) => f((v - z.data[i]) * s.data[i]));
}

const fake_quantize = a => dequantize({ q: quantize(a), scale: like("scale", a.scale, a.x.shape, a.x.dtype), zero_point: a.zero_point });

function fake_quantize_vjp({ g, x, scale, zero_point, qmin, qmax }) {
  const code = grid(x, scale, zero_point, qmin, qmax);
  g = finite("g", same("g", like("g", g, g.shape, x.dtype), x.shape));
  return map(g, x.dtype, (v, i) => (qmin <= code(i) && code(i) <= qmax ? v : 0));
}

function moved(shape, axis, back) { // where each element comes from when `axis` moves to the end (or back)
  need(isInteger(axis), "DtypeError", "axis");
  need(-shape.length <= axis && axis < shape.length, "ShapeError", "no such axis");
  if (axis < 0) axis += shape.length;
  const inner = size(shape.slice(axis + 1)), n = shape[axis], from = [];
  for (let outer = 0; outer < size(shape.slice(0, axis)); outer++)
    for (let i = 0; i < inner; i++) for (let j = 0; j < n; j++) from.push((outer * n + j) * inner + i);
  if (!back) return { from, shape: [...shape.slice(0, axis), ...shape.slice(axis + 1), n] };
  const to = new Array(from.length);
  from.forEach((source, i) => { to[source] = i; });
  return { from: to, shape };
}

function to_groups({ x, group_size = null, axis = -1 }) {
  const turned = axis === null ? moved([size(x.shape)], 0) : moved(x.shape, axis), n = last(turned.shape);
  const group = group_size === null ? n : group_size;
  need(isInteger(group), "DtypeError", "group_size");
  need(group_size === null || (group >= 1 && n % group === 0), "GroupSizeError", `${group} does not divide ${n}`);
  const shape = [...turned.shape.slice(0, -1), group ? n / group : 1, group];
  return array(x.dtype, shape, turned.from.map(i => x.data[i]));
}

function from_groups({ groups, shape, axis = -1 }) {
  if (isArray(shape)) shape = shape.data;
  need(shape.every(n => isInteger(n) && n >= 0), "DtypeError", "shape");
  const flat = axis === null ? [size(shape)] : shape, there = moved(flat, axis ?? 0).shape;
  const joined = [...groups.shape.slice(0, -2), groups.shape.slice(-2).reduce((a, b) => a * b, 1)];
  need(groups.shape.length >= 2 && String(joined) === String(there), "ShapeError", "groups do not come from this shape");
  return array(groups.dtype, shape, moved(flat, axis ?? 0, true).from.map(i => groups.data[i]));
}

// ---------------------------------------------------------------- codebooks

function table(codebook, dtype) {
  real("codebook", codebook);
  need(codebook.dtype === dtype, "DtypeError", "codebook has another dtype");
  need(codebook.shape.length === 1 && codebook.shape[0] >= 2 && codebook.shape[0] <= 256, "ShapeError", "2 to 256 entries");
  return finite("codebook", codebook).data;
}

function codebook_quantize({ x, scale, codebook }) {
  const entries = table(codebook, real("x", x).dtype), f = rounder(x.dtype), s = like("scale", scale, x.shape, x.dtype);
  need(s.data.every(v => Number.isFinite(v) && v !== 0), "GridError", "scale holds 0, NaN or infinity");
  const order = [...new Set(entries)].sort((a, b) => a - b), index = order.map(v => entries.findIndex(e => e === v));
  return map(finite("x", x), "uint8", (v, i) => {
    const t = f(v / s.data[i]);
    let k = 0;
    while (k + 1 < order.length && t > order[k] / 2 + order[k + 1] / 2) k++;
    const tie = k + 1 < order.length && t === order[k] / 2 + order[k + 1] / 2;
    return tie ? Math.min(index[k], index[k + 1]) : index[k];
  });
}

function codebook_dequantize({ q, scale, codebook }) {
  if (typeof scale === "number") scale = scalar(codebook.dtype, rounder(codebook.dtype)(scale));
  const entries = table(codebook, codebook.dtype), f = rounder(codebook.dtype);
  const s = like("scale", scale, whole("q", q).shape, codebook.dtype);
  need(s.data.every(v => Number.isFinite(v) && v !== 0), "GridError", "scale holds 0, NaN or infinity");
  need(q.data.every(v => v >= 0 && v < entries.length), "GridError", "a code outside the table");
  return map(q, codebook.dtype, (v, i) => f(entries[v] * s.data[i]));
}

const mirrored = positive => array("float32", [16], [...positive, ...positive.map(v => -v)].map(Math.fround));
const e2m1_codebook = () => mirrored([0, 0.5, 1, 1.5, 2, 3, 4, 6]);
const fp4_codebook = () => mirrored([0, 0.0625, 8, 12, 4, 6, 2, 3].map(v => v / 12));

// ---------------------------------------------------------------- bytes

function stream(numbers, bits, unit) { // little-endian bit stream in units of 8 or 32 bits
  const out = new Array(Math.ceil((numbers.length * bits) / unit)).fill(0);
  numbers.forEach((v, i) => {
    for (let j = 0; j < bits; j++) {
      const at = i * bits + j;
      if ((v >> j) & 1) out[Math.floor(at / unit)] += 2 ** (at % unit);
    }
  });
  return out;
}

function pack(q, bits, unit, dtype, offset) {
  width(bits, 8, unit === 8 ? 1 : 2);
  whole("q", q);
  need(q.shape.length > 0, "ShapeError", "a last axis is needed");
  const half = 2 ** (bits - 1), n = last(q.shape), data = [];
  need(q.data.every(v => -half <= v && v < half), "GridError", `a code does not fit ${bits} bits`);
  for (let row = 0; row < size(q.shape.slice(0, -1)); row++) {
    const codes = q.data.slice(row * n, (row + 1) * n).map(v => (v + offset * half) & (2 * half - 1));
    data.push(...stream(codes, bits, unit).map(v => (dtype === "int32" ? v | 0 : v)));
  }
  return array(dtype, [...q.shape.slice(0, -1), Math.ceil((n * bits) / unit)], data);
}

function unpack(packed, bits, length, unit, dtype, number) {
  width(bits, 8, unit === 8 ? 1 : 2);
  need(isArray(packed) && packed.dtype === dtype, "DtypeError", `packed must be ${dtype}`);
  need(isInteger(length), "DtypeError", "length");
  const words = last(packed.shape), data = [];
  need(length >= 0 && packed.shape.length > 0 && words === Math.ceil((length * bits) / unit), "ShapeError", "length does not fit");
  for (let row = 0; row < size(packed.shape.slice(0, -1)); row++) {
    const bit = at => (packed.data[row * words + Math.floor(at / unit)] >> (at % unit)) & 1;
    for (let at = length * bits; at < words * unit; at++) need(!bit(at), "FormatError", "an unused bit is set");
    for (let i = 0; i < length; i++) {
      let v = 0;
      for (let j = 0; j < bits; j++) v += bit(i * bits + j) << j;
      data.push(number(v, 2 ** (bits - 1)));
    }
  }
  return array("int32", [...packed.shape.slice(0, -1), length], data);
}

const signed = (v, half) => (v < half ? v : v - 2 * half);
const pack_codes = ({ q, bits }) => pack(q, bits, 8, "uint8", 0);
const unpack_codes = ({ packed, bits, length }) => unpack(packed, bits, length, 8, "uint8", signed);
const pack_compressed_tensors = ({ q, bits }) => pack(q, bits, 32, "int32", 1);
const unpack_compressed_tensors = ({ packed, bits, length }) => unpack(packed, bits, length, 32, "int32", (v, half) => v - half);

// ---------------------------------------------------------------- ranges

function half(v) { // the nearest number that float16 holds, ties to even; 0 becomes the smallest
  const step = 2 ** Math.max(Math.floor(Math.log2(Math.abs(v) || 1)) - 10, -24), near = rint(v / step) * step;
  need(Math.abs(near) <= 65504, "GridError", "infinite in float16");
  return near === 0 ? (Object.is(v, -0) || v < 0 ? -(2 ** -24) : 2 ** -24) : near;
}

function float16_scale({ scale }) {
  if (typeof scale === "number") scale = scalar("float32", Math.fround(scale));
  real("scale", scale);
  need(scale.data.every(Number.isFinite), scale.data.some(Number.isNaN) ? "NonFiniteError" : "GridError", "scale must be finite");
  return map(scale, scale.dtype, half);
}

function minmax({ groups, qmin, qmax, symmetric = true, scale_dtype = "float32" }) {
  need(isInteger(qmin) && isInteger(qmax), "DtypeError", "limits must be integers");
  need(-LIMIT <= qmin && qmin < qmax && qmax <= LIMIT, "GridError", "limits are no grid");
  need(["float32", "float16"].includes(scale_dtype), "DtypeError", "scale_dtype");
  need(symmetric ? qmin <= -qmax && qmax > 0 : qmin <= 0 && qmax >= 0, "GridError", "0 must be a code");
  const n = vectors(finite("groups", real("groups", groups))), f = rounder(groups.dtype), scales = [], zeros = [];
  for (let row = 0; row < groups.data.length / n; row++) {
    const group = groups.data.slice(row * n, (row + 1) * n), low = Math.min(0, ...group), high = Math.max(0, ...group);
    const range = symmetric ? Math.max(-low, high) : f(high - low);
    need(Number.isFinite(range), "GridError", "the range overflows");
    let scale = f(range / (symmetric ? qmax : qmax - qmin));
    scale = range === 0 ? 1 : scale_dtype === "float16" ? half(scale) : scale || (groups.dtype === "float32" ? 2 ** -149 : 2 ** -1074);
    scales.push(scale);
    zeros.push(symmetric ? 0 : clip(qmin - rint(f(low / scale)), qmin, qmax));
  }
  const shape = [...groups.shape.slice(0, -1), 1];
  return [array(groups.dtype, shape, scales), array("int32", shape, zeros)];
}

// ---------------------------------------------------------------- operations: computed in float64, rounded once

const rows = (x, f) => {
  const n = vectors(real("x", x)), out = [];
  for (let row = 0; row < x.data.length / n; row++) out.push(...f(x.data.slice(row * n, (row + 1) * n), row));
  return out;
};
const sum = values => values.reduce((a, b) => a + b, 0);
const rounded = (x, shape, data) => array(x.dtype, shape, data.map(rounder(x.dtype)));

function logs(v) {
  const top = Math.max(...v), norm = Math.log(sum(v.map(t => Math.exp(t - top))));
  return v.map(t => t - top - norm);
}

const softmax = ({ x }) => rounded(x, x.shape, rows(x, v => {
  const top = Math.max(...v), e = v.map(t => Math.exp(t - top)), all = sum(e);
  return e.map(t => t / all);
}));
const log_softmax = ({ x }) => rounded(x, x.shape, rows(x, logs));
const sigmoid = v => (v < 0 ? Math.exp(v) / (1 + Math.exp(v)) : 1 / (1 + Math.exp(-v)));
const silu = ({ x }) => rounded(real("x", x), x.shape, x.data.map(v => v * sigmoid(v)));

function swiglu({ gate, up }) {
  same("up", like("up", up, up.shape, real("gate", gate).dtype), gate.shape);
  return rounded(gate, gate.shape, gate.data.map((v, i) => v * sigmoid(v) * up.data[i]));
}

function rms_norm({ x, weight, eps }) {
  need(typeof eps === "number", "DtypeError", "eps");
  const n = vectors(real("x", x));
  eps = rounder(x.dtype)(eps);
  need(eps > 0 && eps < Infinity, "GridError", "eps must be above 0");
  same("weight", like("weight", weight, weight.shape, x.dtype), [n]);
  return rounded(x, x.shape, rows(x, v => {
    const root = Math.sqrt(sum(v.map(t => t * t)) / n + eps);
    return v.map((t, i) => (t / root) * weight.data[i]);
  }));
}

function indices(name, value, length) {
  need(whole(name, value).data.every(v => v >= 0 && v < length), "ShapeError", `${name} outside 0..${length - 1}`);
  return value;
}

function embed({ tokens, weight }) {
  need(real("weight", weight).shape.length === 2, "ShapeError", "weight (V, D)");
  const D = weight.shape[1];
  indices("tokens", tokens, weight.shape[0]);
  return array(weight.dtype, [...tokens.shape, D], tokens.data.flatMap(t => weight.data.slice(t * D, (t + 1) * D)));
}

function product(x, weight, out, bias) {
  const n = vectors(x);
  return rounded(x, [...x.shape.slice(0, -1), out], rows(x, v =>
    Array.from({ length: out }, (_, o) => sum(v.map((t, i) => t * weight[o * n + i])) + (bias ? bias[o] : 0))));
}

function linear({ x, weight, bias = null }) {
  need(isArray(weight) && weight.dtype === real("x", x).dtype, "DtypeError", "weight has another dtype");
  need(weight.shape.length === 2 && weight.shape[1] === vectors(x), "ShapeError", "weight (out, in)");
  if (bias) same("bias", like("bias", bias, bias.shape, x.dtype), [weight.shape[0]]);
  return product(x, weight.data, weight.shape[0], bias?.data);
}

function quantized_matmul({ x, packed, scale, zero_point, bits }) {
  width(bits);
  const n = vectors(real("x", x)), q = unpack_codes({ packed, bits, length: n }), out = packed.shape[0];
  need(packed.shape.length === 2 && scale.shape.length === 2, "ShapeError", "packed and scale have two axes");
  const groups = scale.shape[1];
  need(scale.shape[0] === out && groups > 0 && n % groups === 0, "ShapeError", "scale does not fit");
  same("zero_point", zero_point, scale.shape);
  const grouped = array("int32", [out, groups, n / groups], q.data), each = v => array(v.dtype, [out, groups, 1], v.data);
  need(scale.dtype === x.dtype, "DtypeError", "scale has another dtype");
  return product(x, dequantize({ q: grouped, scale: each(scale), zero_point: each(zero_point) }).data, out);
}

function cross_entropy({ logits, targets }) {
  const V = vectors(real("logits", logits));
  same("targets", indices("targets", targets, V), logits.shape.slice(0, -1));
  return rounded(logits, targets.shape, rows(logits, (v, row) => [-logs(v)[targets.data[row]]]));
}

function rope({ x, positions, frequencies }) {
  const d = vectors(real("x", x)), f = rounder(x.dtype);
  need(frequencies.dtype === "float64", "DtypeError", "frequencies must be float64");
  need(d % 2 === 0, "ShapeError", "an even last axis is needed");
  same("frequencies", frequencies, [d / 2]);
  const p = like("positions", whole("positions", positions), x.shape.slice(0, -1), "int32");
  return rounded(x, x.shape, rows(x, (v, row) => v.map((t, i) => {
    const angle = p.data[row] * frequencies.data[i % (d / 2)], cos = f(Math.cos(angle)), sin = f(Math.sin(angle));
    return i < d / 2 ? t * cos - v[i + d / 2] * sin : t * cos + v[i - d / 2] * sin;
  })));
}

function causal_attention({ q, k, v }) {
  need(real("q", q).shape.length === 5 && k.shape.length === 4, "ShapeError", "q (B, K, R, T, d), k (B, K, S, d)");
  need(k.dtype === q.dtype && v.dtype === q.dtype, "DtypeError", "q, k and v differ in dtype");
  const [B, K, R, T, d] = q.shape, S = k.shape[2];
  same("v", v, same("k", k, [B, K, S, d]).shape);
  need(T <= S && d > 0, "ShapeError", "more queries than keys");
  return rounded(q, q.shape, rows(q, (query, row) => {
    const head = Math.floor(row / (R * T)), seen = S - T + (row % T) + 1;
    const at = (x, s) => x.data.slice((head * S + s) * d, (head * S + s + 1) * d);
    const keys = Array.from({ length: seen }, (_, s) => s);
    const p = logs(keys.map(s => sum(at(k, s).map((t, i) => t * query[i])) / Math.sqrt(d))).map(Math.exp);
    return query.map((_, i) => sum(keys.map(s => p[s] * at(v, s)[i])));
  }));
}

// ---------------------------------------------------------------- the protocol

const OPERATORS = { integer_range, quantize, dequantize, fake_quantize, fake_quantize_vjp, to_groups, from_groups, codebook_quantize,
  codebook_dequantize, e2m1_codebook, fp4_codebook, pack_codes, unpack_codes, pack_compressed_tensors, unpack_compressed_tensors,
  float16_scale, minmax, softmax, log_softmax, silu, swiglu, rms_norm, embed, linear, quantized_matmul, cross_entropy, rope,
  causal_attention };

function answer(request) {
  if (request.cmd === "start") return { protocol: 1, name: "javascript", version: process.versions.node, operators: Object.keys(OPERATORS) };
  try {
    return { seq: request.seq, returns: encode(OPERATORS[request.function](decode(request.args))) };
  } catch (error) {
    return { seq: request.seq, raises: error.name, message: error.message };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.cmd === "stop") break;
  process.stdout.write(JSON.stringify(answer(request)) + "\n");
}
