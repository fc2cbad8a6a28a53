"""Golden cases: where they are, JSON to arrays and back, and the comparison. One page for every runner."""

import hashlib
import json
import pathlib

import numpy as np

from refq.errors import FileError, FormatError

SPECIAL = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf, "-0.0": -0.0}


def folder():
    """The folder of the golden files: inside an installed package, or beside it in a source checkout."""
    package = pathlib.Path(__file__).resolve().parents[1]
    for found in (package / "_golden", package.parent / "golden"):
        if (found / "MANIFEST.json").is_file():
            return found
    raise FileError(f"no golden folder with a MANIFEST.json in {package}; the installation is incomplete")


def functions(root=None):
    """Names of the functions that have golden cases."""
    return sorted(path.stem for path in (root or folder()).glob("v1/*.json"))


def version(root=None):
    """Version of the golden set, with the digest that tells two drafts apart."""
    manifest = json.loads(((root or folder()) / "MANIFEST.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256(json.dumps(manifest["files"], sort_keys=True).encode()).hexdigest()
    return f"{manifest['version']} ({digest[:12]})"


def notes(root=None):
    """Flag -> the sentence that says which mistake it stands for."""
    return json.loads(((root or folder()) / "FLAGS.json").read_text(encoding="utf-8"))


def place(function, root=None):
    """The file of one function."""
    return (root or folder()) / "v1" / f"{function}.json"


def load(function, root=None):
    """The cases of one function, as the file has them."""
    path = place(function, root)
    try:
        return json.loads(path.read_text(encoding="utf-8"))["cases"]
    except (OSError, ValueError, KeyError) as error:
        raise FormatError(f"{path}: not a golden file ({error})") from error


def decode(value):
    """JSON form to NumPy: {dtype, shape, data | hex} becomes an array, an object a dict, the rest stays."""
    if isinstance(value, dict) and "dtype" in value:
        if "hex" in value:
            return np.frombuffer(bytes.fromhex(value["hex"]), value["dtype"]).reshape(value["shape"]).copy()
        data = [SPECIAL[v] if isinstance(v, str) else v for v in value["data"]]
        return np.array(data, value["dtype"]).reshape(value["shape"])
    if isinstance(value, dict):
        return {name: decode(item) for name, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return value


def encode(value):
    """NumPy to JSON form; the inverse of decode."""
    if isinstance(value, np.ndarray):
        head = {"dtype": value.dtype.name, "shape": list(value.shape)}
        if value.dtype == np.uint8:
            return head | {"hex": value.tobytes().hex()}
        return head | {"data": [_number(v) for v in value.reshape(-1).tolist()]}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {name: encode(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    return value


def run(case, function):
    """Call `function` with the case's arguments: None if it does what the case says, else what is wrong."""
    try:
        result = function(**decode(case["args"]))
    except Exception as error:
        return judge_error(case, [cls.__name__ for cls in type(error).__mro__], f"{type(error).__name__}: {error}")
    if "raises" in case:
        return f"gave a result; {case['raises']} was due"
    return difference(decode(case["returns"]), result, _within(case))


def judge_error(case, names, text):
    """None if one of the class names is the one the case wants."""
    if "raises" not in case:
        return f"raised {text}"
    return None if case["raises"] in names else f"raised {text}; {case['raises']} was due"


def difference(expected, result, within=None):
    """None if result equals expected (dtype, shape, numbers; NaN equals NaN), or is as near as `within` allows."""
    if isinstance(expected, list):
        if not isinstance(result, (list, tuple)) or len(result) != len(expected):
            return f"gave {type(result).__name__}; {len(expected)} results were due"
        bounds = [None] * len(expected) if within is None else within
        found = (difference(e, r, w) for e, r, w in zip(expected, result, bounds, strict=True))
        return next((f"result {i}: {text}" for i, text in enumerate(found) if text), None)
    if isinstance(expected, dict):
        if not isinstance(result, dict) or set(result) != set(expected):
            return "gave other names"
        bounds = within or dict.fromkeys(expected)
        found = ((name, difference(expected[name], result[name], bounds[name])) for name in expected)
        return next((f"{name}: {text}" for name, text in found if text), None)
    if not isinstance(expected, np.ndarray):
        return (
            None
            if type(result) in (type(expected), np.int64) and result == expected
            else f"gave {result!r}; {expected!r} was due"
        )
    result = np.asarray(result)
    if result.dtype != expected.dtype or result.shape != expected.shape:
        return f"gave {result.dtype}{list(result.shape)}; {expected.dtype}{list(expected.shape)} was due"
    return _array_difference(expected, result, within)


def check(root=None):
    """Verify every file against MANIFEST.json: digest and case ids. Gives (files, cases); raises FormatError."""
    root = root or folder()
    manifest = json.loads((root / "MANIFEST.json").read_text(encoding="utf-8"))
    if sorted(manifest["files"]) != [f"v1/{name}.json" for name in functions(root)]:
        raise FormatError(f"{root}: the files are not those of MANIFEST.json")
    cases = 0
    for name, entry in manifest["files"].items():
        if hashlib.sha256((root / name).read_bytes()).hexdigest() != entry["sha256"]:
            raise FormatError(f"{root / name}: sha256 differs from MANIFEST.json; reinstall refq")
        if [case["id"] for case in load(pathlib.Path(name).stem, root)] != entry["ids"]:
            raise FormatError(f"{root / name}: case ids differ from MANIFEST.json")
        cases += len(entry["ids"])
    return len(manifest["files"]), cases


def _within(case):
    return None if case["compare"] == "exact" else decode(case["compare"]["within"])


def _array_difference(expected, result, within):
    wrong = (result != expected) & ~((result != result) & (expected != expected))  # NaN equals NaN
    if within is not None:
        with np.errstate(invalid="ignore"):
            wrong &= ~(np.abs(result.astype(np.float64) - expected) <= within)
    if not wrong.any():
        return None
    at = np.unravel_index(int(np.argmax(wrong)), expected.shape)
    allowed = "" if within is None else f" within {np.broadcast_to(within, expected.shape)[at]}"
    index = ", ".join(map(str, at))
    return f"[{index}] is {result[at]}; {expected[at]}{allowed} was due ({int(wrong.sum())} of {wrong.size} differ)"


def _number(value):
    if isinstance(value, float) and (value != value or value in (np.inf, -np.inf)):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return "-0.0" if isinstance(value, float) and value == 0 and np.signbit(value) else value
