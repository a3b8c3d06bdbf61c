//! The address of a question's page as a QR code (ISO/IEC 18004), for posters, slides and phones.

use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

use crate::failure::Failure;

/// How many pixels the picture has on each side, at least; as SVG it is sharp at any size.
const SIZE: u32 = 256;

/// The QR code of an address, in SVG, with the light margin that readers need. A quarter of it may
/// be covered or dirty.
pub fn qr_code(address: &str) -> Result<String, Failure> {
    let code = QrCode::with_error_correction_level(address, EcLevel::Q);
    let code = code.map_err(Failure::internal)?;
    let mut picture = code.render::<svg::Color>();
    Ok(picture.min_dimensions(SIZE, SIZE).build())
}

#[cfg(test)]
mod tests {
    use rqrr::{Grid, SimpleGrid};

    use super::*;

    /// How many modules of margin there are on each side.
    const MARGIN: usize = 4;

    #[test]
    fn a_reader_reads_the_address() {
        for address in [
            "https://polls.example.org/questions/01963b1c-7a20-7d4e-9c1f-5a6b7c8d9e0f",
            "x",
        ] {
            assert_eq!(read(&qr_code(address).unwrap()), address);
        }
    }

    #[test]
    fn what_is_too_long_is_an_error() {
        assert!(qr_code(&"x".repeat(3_000)).is_err());
    }

    /// What a reader finds in the picture, whose path is made of rectangles: `M8 8h14v2H8V8`.
    fn read(svg: &str) -> String {
        let path = svg.split("d=\"").nth(1).unwrap().split('"').next().unwrap();
        let rectangles = path.split('M').skip(1).map(|rectangle| {
            let numbers = rectangle.split(|c: char| !c.is_ascii_digit());
            let numbers = numbers.filter(|number| !number.is_empty()).take(4);
            let numbers: Vec<usize> = numbers.map(|number| number.parse().unwrap()).collect();
            <[usize; 4]>::try_from(numbers).unwrap()
        });
        let rectangles: Vec<[usize; 4]> = rectangles.collect();
        let module = rectangles
            .iter()
            .map(|[_, _, _, height]| *height)
            .min()
            .unwrap();
        let right = rectangles
            .iter()
            .map(|[left, _, width, _]| left + width)
            .max();
        let modules = right.unwrap() / module - MARGIN;
        let is_dark = |x: usize, y: usize| {
            let (x, y) = ((x + MARGIN) * module, (y + MARGIN) * module);
            rectangles.iter().any(|[left, top, width, height]| {
                (*left..left + width).contains(&x) && (*top..top + height).contains(&y)
            })
        };
        let (_, content) = Grid::new(SimpleGrid::from_func(modules, is_dark))
            .decode()
            .unwrap();
        content
    }
}
