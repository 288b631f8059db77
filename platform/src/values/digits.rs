//! Short texts of numbers, put together byte by byte: a list has dozens of amounts and times, for which `format!` took a
//! third of the time of all its JSON.
use std::str;

/// At most `N` bytes of ASCII.
pub(super) struct Digits<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Digits<N> {
    pub fn new() -> Self {
        Self { bytes: [0; N], length: 0 }
    }

    /// One sign.
    #[must_use]
    pub fn then(mut self, sign: u8) -> Self {
        self.bytes[self.length] = sign;
        self.length += 1;
        self
    }

    /// A number, with zeros before it to this width.
    #[must_use]
    pub fn number(mut self, number: u64, width: usize) -> Self {
        let places = number.checked_ilog10().map_or(1, |log| log as usize + 1).max(width);
        let mut rest = number;
        for byte in self.bytes[self.length..self.length + places].iter_mut().rev() {
            *byte = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.length += places;
        self
    }

    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length]).unwrap_or_default() // it is ASCII
    }
}
