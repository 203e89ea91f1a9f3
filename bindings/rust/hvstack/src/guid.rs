// SPDX-License-Identifier: MIT
use crate::{Error, Result};
use hvstack_sys as sys;
use std::{fmt, str};

/// A GUID, as people and guests know it. The default is all zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guid([u8; 16]);

/// Which of the text's bytes each byte of the wire is: the first three fields are little endian.
const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

impl Guid {
    /// From the bytes as they are written, most significant first:
    /// `0x6f1a2b3c_4d5e_6f70_8192_a3b4c5d6e7f8` is `6f1a2b3c-4d5e-6f70-8192-a3b4c5d6e7f8`.
    pub const fn from_u128(value: u128) -> Self {
        let text = value.to_be_bytes();
        let mut wire = [0; 16];
        let mut i = 0;
        while i < 16 {
            wire[i] = text[ORDER[i]];
            i += 1;
        }
        Guid(wire)
    }

    /// The bytes on the wire.
    pub const fn to_wire(self) -> [u8; 16] {
        self.0
    }

    /// From bytes on the wire.
    pub const fn from_wire(bytes: [u8; 16]) -> Self {
        Guid(bytes)
    }

    pub(crate) fn to_c(self) -> sys::hvs_guid {
        sys::hvs_guid { b: self.0 }
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, &from) in ORDER.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{:02x}", self.0[from])?;
        }
        Ok(())
    }
}

impl str::FromStr for Guid {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let dash = |i| matches!(i, 8 | 13 | 18 | 23);
        let good = |(i, b): (usize, u8)| if dash(i) { b == b'-' } else { b.is_ascii_hexdigit() };
        if text.len() != 36 || !text.bytes().enumerate().all(good) {
            return Err(Error::Invalid);
        }
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        u128::from_str_radix(&digits, 16).map(Guid::from_u128).map_err(|_| Error::Invalid)
    }
}
