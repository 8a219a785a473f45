"""What a reader of a page sees."""

from html.parser import HTMLParser


class Text(HTMLParser):
    """Collect what a reader sees, and which elements there are with which attributes."""

    def __init__(self, html):
        super().__init__()
        self.text, self.elements, self.hidden = "", [], 0
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data):
        if not self.hidden:
            self.text += data
