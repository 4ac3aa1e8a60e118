#!/usr/bin/env bash
# PyTorch 2.13.0 on a CPU: the first arithmetic on the "meta" device, or the first torch.nn.Embedding made there, imports the
# whole compiler (torch._dynamo, torch._inductor, sympy). A skeleton on "meta" is what one makes where weights are about to
# be loaded, so that nothing is computed; for a small model it takes seconds where the real device takes none.
# Expected: a meta tensor knows shapes and types alone; nothing is compiled and no compiler is loaded.
# Seen: torch.nn.Embedding(3, 3, device="meta") and torch.ones(3, device="meta") * 0.3 load it (more than 500 modules, 2.6 s
# of processor where it was tried); Linear and empty there, and all of it on the CPU, load none.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q torch==2.13.0 numpy==2.4.6
cat >"$folder/loaded.py" <<'PY'
import sys
import time

import torch

before, start = set(sys.modules), time.process_time()
eval(sys.argv[1], {"torch": torch})
seconds, new = time.process_time() - start, set(sys.modules) - before
compiler = {"torch._dynamo", "torch._inductor", "sympy"} <= set(sys.modules)
print(f"{sys.argv[1]}: {len(new)} modules, {seconds:.2f} s of processor", file=sys.stderr)
print("compiler" if compiler else "none")
PY
expect() {
  local found
  found=$("$folder/env/bin/python" "$folder/loaded.py" "$2")
  [[ "$found" == "$1" ]] || { echo "this changed: $2 loads $found"; exit 1; }
}
expect none 'torch.nn.Embedding(3, 3)'
expect none 'torch.ones(3) * 0.3'
expect none 'torch.empty(3, device="meta")'
expect none 'torch.nn.Linear(3, 3, device="meta")'
expect compiler 'torch.ones(3, device="meta") * 0.3'
expect compiler 'torch.nn.Embedding(3, 3, device="meta")'
