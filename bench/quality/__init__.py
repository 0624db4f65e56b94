"""How good the answers' ground is: measured on labelled questions in Korean and English that the repository ships."""
