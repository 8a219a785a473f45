"""Pictures with captions: how they are read, checked and fed to a captioner."""
