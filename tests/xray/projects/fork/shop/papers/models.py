from kiosk.papers.abstract import AbstractPaper


class Paper(AbstractPaper):
    pass
