"""AtacFormer: a cell as a sentence of open bins."""
