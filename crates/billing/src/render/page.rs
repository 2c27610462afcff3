//! Pages of A4: text, rules and page numbers.

use miniz_oxide::deflate::compress_to_vec_zlib;
use pdf_writer::{Content, Filter, Finish as _, Pdf, Rect, Ref, Str, TextStr};

use super::font::{Font, encode};

/// A4, in points.
const WIDTH: f32 = 595.28;
const HEIGHT: f32 = 841.89;
pub(super) const LEFT: f32 = 48.0;
pub(super) const RIGHT: f32 = WIDTH - 48.0;
const TOP: f32 = HEIGHT - 52.0;
const BOTTOM: f32 = 64.0;
const FOOTER: f32 = 40.0;

/// How a piece of text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) font: Font,
    pub(super) size: f32,
    /// 0 is black, 1 white.
    pub(super) grey: f32,
}

/// Pages that are being written, from top to bottom.
pub(super) struct Sheets {
    pages: Vec<Content>,
    current: Content,
    /// Where the next row's top is.
    pub(super) y: f32,
    footer: String,
}

impl Sheets {
    /// A first page; `footer` stands at the bottom of each.
    pub(super) fn new(footer: String) -> Self {
        Self { pages: Vec::new(), current: Content::new(), y: TOP, footer }
    }

    /// Moves to a new page unless `height` is left on this one; whether it did.
    pub(super) fn reserve(&mut self, height: f32) -> bool {
        let is_full = self.y - height < BOTTOM;
        if is_full {
            self.pages.push(std::mem::replace(&mut self.current, Content::new()));
            self.y = TOP;
        }
        is_full
    }

    /// Leaves space.
    pub(super) fn skip(&mut self, height: f32) {
        self.y -= height;
    }

    /// Writes from `x` on, `down` below the row's top.
    pub(super) fn text(&mut self, x: f32, down: f32, style: Style, text: &str) {
        let y = self.y - down;
        write(&mut self.current, x, y, style, text);
    }

    /// Writes up to `x`.
    pub(super) fn text_to(&mut self, x: f32, down: f32, style: Style, text: &str) {
        self.text(x - style.font.width(text, style.size), down, style, text);
    }

    /// A rule over the whole width, at the row's top.
    pub(super) fn rule(&mut self, thickness: f32, grey: f32) {
        rule(&mut self.current, self.y, thickness, grey);
    }

    /// A grey field over the whole width, below the row's top.
    pub(super) fn field(&mut self, height: f32, grey: f32) {
        self.current.set_fill_gray(grey);
        self.current.rect(LEFT - 6.0, self.y - height, RIGHT - LEFT + 12.0, height).fill_nonzero();
    }

    /// The document. The same for the same text, whenever it is made.
    pub(super) fn finish(mut self, title: &str) -> Vec<u8> {
        self.pages.push(self.current);
        let count = self.pages.len();
        let mut next = Ref::new(1);
        let mut id = || next.bump();
        let (catalog, tree, info) = (id(), id(), id());
        let fonts = Font::ALL.map(|font| (font, id()));
        let mut pdf = Pdf::new();
        let mut kids = Vec::with_capacity(count);
        for (mut content, number) in self.pages.into_iter().zip(1..) {
            footer(&mut content, &self.footer, &format!("Page {number} of {count}"));
            let (page_id, content_id) = (id(), id());
            let bytes = compress_to_vec_zlib(&content.finish(), 6);
            pdf.stream(content_id, &bytes).filter(Filter::FlateDecode);
            let mut page = pdf.page(page_id);
            page.parent(tree).media_box(Rect::new(0.0, 0.0, WIDTH, HEIGHT)).contents(content_id);
            let mut resources = page.resources();
            let mut dictionary = resources.fonts();
            for (font, font_id) in fonts {
                dictionary.pair(font.name(), font_id);
            }
            dictionary.finish();
            resources.finish();
            page.finish();
            kids.push(page_id);
        }
        for (font, font_id) in fonts {
            pdf.type1_font(font_id)
                .base_font(font.base())
                .encoding_predefined(pdf_writer::Name(b"WinAnsiEncoding"));
        }
        pdf.pages(tree).count(i32::try_from(count).unwrap_or(i32::MAX)).kids(kids);
        pdf.document_info(info).title(TextStr(title)).producer(TextStr("Weir"));
        pdf.catalog(catalog).pages(tree).lang(TextStr("en"));
        pdf.finish()
    }
}

fn write(content: &mut Content, x: f32, y: f32, style: Style, text: &str) {
    content.set_fill_gray(style.grey);
    content.begin_text().set_font(style.font.name(), style.size).next_line(x, y);
    content.show(Str(&encode(text))).end_text();
}

fn rule(content: &mut Content, y: f32, thickness: f32, grey: f32) {
    content.set_stroke_gray(grey).set_line_width(thickness);
    content.move_to(LEFT, y).line_to(RIGHT, y).stroke();
}

fn footer(content: &mut Content, text: &str, number: &str) {
    let style = Style { font: Font::Regular, size: 7.0, grey: 0.45 };
    rule(content, FOOTER + 12.0, 0.4, 0.75);
    write(content, LEFT, FOOTER, style, text);
    let width = style.font.width(number, style.size);
    write(content, RIGHT - width, FOOTER, style, number);
}
