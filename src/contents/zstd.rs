// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::io::{BufRead, Error, Read, Result, copy, sink};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The largest window in bytes, which is memory. Levels up to 20 need no more.
const MAX_WINDOW: u64 = 32 << 20;

/// Decompresses all frames of a zstd stream, and skips the frames without content that tools put between them
/// (RFC 8878, section 3.1.2).
pub struct ZstdReader<R> {
    source: R,
    decoder: FrameDecoder,
    is_in_frame: bool,
}

impl<R> std::fmt::Debug for ZstdReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZstdReader").field("is_in_frame", &self.is_in_frame).finish_non_exhaustive()
    }
}

impl<R: BufRead> ZstdReader<R> {
    /// Creates a reader of a source that begins with a frame.
    pub fn new(source: R) -> ZstdReader<R> {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW);
        ZstdReader { source, decoder, is_in_frame: false }
    }

    /// Begins the next frame; `false` if there is none.
    fn begin(&mut self) -> Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = copy(&mut (&mut self.source).take(length.into()), &mut sink())?;
                    if skipped < length.into() {
                        return Err(Error::other("a skippable frame ends too soon"));
                    }
                }
                Err(error) => return Err(Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            if !self.is_in_frame {
                if !self.begin()? {
                    return Ok(0);
                }
                self.is_in_frame = true;
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.source, one).map_err(Error::other)?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.is_in_frame = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn frame(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    fn decoded(bytes: &[u8]) -> Result<Vec<u8>> {
        let mut decoded = Vec::new();
        ZstdReader::new(bytes).read_to_end(&mut decoded).map(|_| decoded)
    }

    #[test]
    fn all_frames_are_decoded_and_others_skipped() {
        let (one, two) = (vec![1; 300_000], b"two".to_vec());
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        let stream =
            [skippable.clone(), frame(&one), frame(b""), skippable.clone(), frame(&two), skippable].concat();
        assert_eq!(decoded(&stream).unwrap(), [one, two].concat());
        assert_eq!(decoded(b"").unwrap(), b"");
    }

    #[test]
    fn what_is_cut_off_or_no_frame_is_an_error() {
        let whole = frame(&[7; 1000]);
        for end in 1..whole.len() {
            assert!(decoded(&whole[..end]).is_err(), "{end}");
        }
        assert!(decoded(b"no frame at all").is_err());
        assert!(decoded(&[&whole[..], b"rest"].concat()).is_err());
        assert!(decoded(&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1]).is_err());
    }

    #[test]
    fn a_large_window_is_refused() {
        // Magic number, a descriptor without flags, and a window of 2 GiB.
        assert!(decoded(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0xa8, 1, 0, 0]).is_err());
    }
}
