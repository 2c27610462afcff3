//! The head of a streamed answer on the Lambda Runtime API.

/// Ends the head.
const DELIMITER: [u8; 8] = [0; 8];

/// Takes the head, JSON with status and headers, off the pieces of a streamed answer.
#[derive(Debug, Default)]
pub struct Prelude {
    head: Vec<u8>,
    is_complete: bool,
}

impl Prelude {
    /// What of `piece` belongs to the body, if anything does.
    pub fn strip<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        if self.is_complete {
            return piece;
        }
        let known = self.head.len();
        self.head.extend_from_slice(piece);
        let Some(end) = self.head.windows(DELIMITER.len()).position(|window| window == DELIMITER)
        else {
            return &[];
        };
        self.is_complete = true;
        self.head.truncate(end);
        let body = (end + DELIMITER.len()).saturating_sub(known);
        piece.get(body..).unwrap_or_default()
    }

    /// The head; `None` as long as it has not ended.
    pub fn head(&self) -> Option<&[u8]> {
        self.is_complete.then_some(self.head.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_stripped_wherever_the_pieces_are_cut() {
        let answer = b"{\"statusCode\":200}\0\0\0\0\0\0\0\0data: 1\n\n\0";
        for cut in 0..=answer.len() {
            let (first, second) = answer.split_at(cut);
            let mut prelude = Prelude::default();
            let body = [prelude.strip(first), prelude.strip(second)].concat();
            assert_eq!(body, b"data: 1\n\n\0", "cut at {cut}");
            assert_eq!(prelude.head(), Some(b"{\"statusCode\":200}".as_slice()));
        }
    }

    #[test]
    fn a_head_without_an_end_is_none() {
        let mut prelude = Prelude::default();
        assert_eq!(prelude.strip(b"{}\0\0\0\0\0\0\0"), b"");
        assert_eq!(prelude.head(), None);
    }
}
