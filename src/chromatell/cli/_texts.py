"""What ``--help`` says of each command: what it does, examples, exit codes."""

from __future__ import annotations

EXIT_CODES = """\
exit codes:
  0  done
  1  the input cannot be used; the message on stderr says what to do
  2  a mistake in the call
  130  stopped by Ctrl-C
"""

MAIN = f"""\
examples:
  chromatell demo                                            a model trained, scored and shared, in a minute
  chromatell train cells.h5mu -o shared.h5mu --n-regions 50000 --split-by donor
  chromatell evaluate shared.h5mu -o shared.h5mu --overwrite --csv scores.csv
  chromatell predict rna_only.h5ad --model shared.h5mu -o predicted.h5mu

'chromatell COMMAND --help' lists the options of a command.

{EXIT_CODES}"""

DEMO = """\
Train on the packaged example, 3,200 real blood cells, score the model beside the baselines that it must beat, and
apply it to cells with expression only. Nothing is downloaded. Writes demo.h5mu and four figures, demo_*.png.
"""

BIN = """\
Count the fragments of each cell in bins of the genome. The output is what 'chromatell train --family atacformer' reads.
A matrix of peaks will do where there is no fragments file. The file is streamed, in any order, and needs no index.
"""

BIN_EPILOG = f"""\
examples:
  chromatell bin fragments.tsv.gz -o bins.h5ad --chrom-sizes hg38 --barcodes barcodes.tsv.gz
  chromatell bin fragments.tsv.gz -o bins.h5ad --chrom-sizes hg38 --barcodes cells.h5ad --blacklist hg38_blacklist.bed
  chromatell bin fragments.tsv.gz -o paired.h5mu --chrom-sizes hg38 --barcodes rna.h5ad
  chromatell bin other.tsv.gz -o other_bins.h5ad --bins bins.h5ad
  chromatell bin peaks.h5ad -o bins.h5ad --chrom-sizes mm10

{EXIT_CODES}"""

TRAIN = """\
Train a model on paired cells. The output holds the data, the model and its predictions: whoever gets it can apply the
model to cells that have expression only. A Dense model predicts the regions that it was trained on; an XChrom model
reads DNA as well, and predicts any region. An AtacFormer model reads the open bins of a cell, or its expression. A
Nascent model is trained on tracks along the genome: bigWigs, or a store.
"""

FAMILIES = {
    "xchrom": "Where no regions are held out, in IN or here, all of them are trained on.",
    "nascent": "In place of IN: bigWigs, which are binned, masked, split and smoothed here.",
}

TRAIN_EPILOG = f"""\
examples:
  chromatell train cells.h5mu -o shared.h5mu
  chromatell train cells.h5mu -o shared.h5mu --split-by donor --n-genes 10000 --n-regions 50000 --seed 1
  chromatell train cells.h5mu -o shared.h5mu --predictions shared_pred.zarr --checkpoint-dir checkpoints
  chromatell train cells.h5mu -o shared.h5mu --family xchrom --fasta hg38.fa --split-regions chromosome
  chromatell train bins.h5ad -o typed.h5ad --family atacformer --labels cell_type
  chromatell train paired.h5mu -o shared.h5mu --family atacformer --context X_pca
  chromatell train -o shared.zarr --family nascent --plus plus.bw --minus minus.bw --target H3K4me3=H3K4me3.bw
  chromatell train tracks.zarr -o shared.zarr --family nascent --architecture cnn

A run that was stopped goes on where it was when it is started again with the same --checkpoint-dir.

{EXIT_CODES}"""

PREDICT = """\
Predict the accessibility of cells that have expression, with the model in a file. Only the model is read of
that file, never its cells, and nothing in it is executed. Genes are matched by name. A model that reads DNA also
predicts regions that it has never seen. A model that reads tracks goes from bigWig to bigWig.
"""

PREDICT_EPILOG = f"""\
examples:
  chromatell predict rna_only.h5ad --model shared.h5mu -o predicted.h5mu
  chromatell predict rna_only.h5ad --model shared.h5mu -o predicted.h5mu --out-store predicted_values.zarr
  chromatell predict rna_only.h5ad --model shared.h5mu -o predicted.h5mu --regions new.bed --fasta hg38.fa
  chromatell predict --model shared.zarr --plus plus.bw --minus minus.bw --bigwig predicted

{EXIT_CODES}"""

EVALUATE = """\
Score the predictions in a file on held-out cells, regions or bins, beside baselines fitted here, and print the
leaderboard.
"""

EVALUATE_EPILOG = f"""\
examples:
  chromatell evaluate shared.h5mu
  chromatell evaluate shared.h5mu --csv scores.csv --baselines region_mean,knn --labels leiden
  chromatell evaluate shared.h5mu -o shared.h5mu --overwrite
  chromatell evaluate shared.h5mu --pairs cross-region,cross-both
  chromatell evaluate typed.h5ad --removed 0.3
  chromatell evaluate tracks.zarr --csv track_scores.csv

{EXIT_CODES}"""

REPORT = """\
Write data and split, scores beside baselines, curves, cells, regions and the cards of the models as one HTML file,
which needs no network and holds no script.
"""

REPORT_EPILOG = f"""\
examples:
  chromatell report shared.h5mu -o report.html
  chromatell report tracks.zarr -o tracks.html --title "K562, PRO-seq to marks"

{EXIT_CODES}"""

INFO = """\
Say what data, models, predictions and scores a file holds. Matrices stay on disk, and nothing in the file is executed.
"""

INFO_EPILOG = f"""\
examples:
  chromatell info shared.h5mu
  chromatell info shared.h5mu --json | jq .models
  chromatell info tracks.zarr

{EXIT_CODES}"""

EXPORT = """\
Write one model of a file into a folder, with its card, for people who must not get the cells.
"""

EXPORT_EPILOG = f"""\
examples:
  chromatell export shared.h5mu -o shared_model
  chromatell export shared.h5mu -o shared_model --key xchrom

{EXIT_CODES}"""

VARIANT = """\
Score variants in each group of cells with a model that reads DNA: the change in log-odds of being open from REF to ALT,
beside random variants.
"""

VARIANT_EPILOG = f"""\
examples:
  chromatell variant shared.h5mu --variants snps.vcf.gz --fasta hg38.fa --csv effects.csv
  chromatell variant cells.h5mu --model xchrom_model --variants snps.vcf --fasta hg38.fa --groupby none --csv -
  chromatell variant shared.h5mu --variants chr1-2250-C-G,chr2-90-A-T --fasta hg38.fa --csv -

{EXIT_CODES}"""

ISM = """\
Change every base of a region to each other one, and say how the log-odds of being open change in each group of cells.
"""

ISM_EPILOG = f"""\
examples:
  chromatell ism shared.h5mu --regions chr1:9900-10400,chr2:500-1000 --csv ism.csv
  chromatell ism shared.h5mu --regions new.bed --fasta hg38.fa -o with_ism.h5mu

{EXIT_CODES}"""

COMPLETION = """\
Print a script that completes commands, options and their choices: source <(chromatell completion bash)
"""
