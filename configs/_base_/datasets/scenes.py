# Pictures of incidental scene text, drawn by the project, of the size of the crops.
scenes = dict(
    type="SyntheticTextDataset", size=(640, 640), length=6000, num_words=(3, 14), difficulty=0.7
)
