#!/usr/bin/env bash
# liftover 1.5.0 says that it "matches the core pyliftover interface". pyliftover 0.4.1 gives the targets of a position
# with the best chain first; liftover gives them by where the chain starts in the source, and without the score.
# A chain file whose chains overlap in the source (a UCSC all.chain, an Ensembl file) is the case; the code that was
# written for pyliftover takes targets[0].
# Expected: the chain of score 800, to chr4:949, first in both, whatever the order of the chains in the file.
# Seen: pyliftover chr4 first; liftover chr3 (score 500) first, in either order of the file.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q "liftover==1.5.0" "pyliftover==0.4.1"
cd "$folder"
env/bin/python - <<'PY'
import gzip

import liftover
import pyliftover

poor = "chain 500 chr3 1000 + 100 300 chr3 1000 + 100 300 {}\n200\n\n"  # starts first in the source
best = "chain 800 chr3 1000 + 150 250 chr4 1000 - 0 100 {}\n100\n\n"
for name, text in (("best first", best.format(1) + poor.format(2)), ("best last", poor.format(1) + best.format(2))):
    with gzip.open("over.chain.gz", "wt") as file:
        file.write(text)
    old = pyliftover.LiftOver("over.chain.gz").convert_coordinate("chr3", 200)
    new = liftover.ChainFile("over.chain.gz", one_based=False).convert_coordinate("chr3", 200)
    print(f"{name} in the file: pyliftover {old}, liftover {new}")
    assert [hit[:3] for hit in old] == [("chr4", 949, "-"), ("chr3", 200, "+")], "pyliftover: this changed"
    assert [tuple(hit) for hit in new] == [("chr3", 200, "+"), ("chr4", 949, "-")], "liftover: this changed"
PY
