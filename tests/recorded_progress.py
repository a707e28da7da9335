from pidlab.sweeps.execute import Silent


class RecordedProgress(Silent):
    """Progress of a sweep, kept for a test."""

    def __init__(self):
        self.notes, self.started, self.finished = [], [], []

    def cohort(self, number):
        self.started.append(number)

    def finish(self, number, outcome):
        self.finished.append(number)

    def note(self, text):
        self.notes.append(text)
