//! Pictures in data URLs.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::BadRequest;
use crate::ImageFormat;
use crate::wire::field::Field;

/// Takes base64 with and without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads the picture of an `image_url` part.
pub(super) fn image_of(part: &Field<'_>) -> Result<(ImageFormat, Vec<u8>), BadRequest> {
    let image = part.require("image_url")?;
    image.object()?;
    let url_field = image.require("url")?;
    let url = url_field.str()?;
    let Some((media_type, data)) = split_data_url(url) else {
        return Err(complaint(
            &url_field,
            "invalid_image_url",
            "must hold the image itself for this model, as `data:image/png;base64,..`: the gateway does not fetch images.",
        ));
    };
    let Some(format) = ImageFormat::of_media_type(media_type) else {
        let other: String = media_type.chars().take(64).collect();
        let message = format!("holds `{other}`: send a PNG, JPEG, GIF or WebP image.");
        return Err(complaint(&url_field, "unsupported_image_media_type", &message));
    };
    match BASE64.decode(data) {
        Ok(bytes) if bytes.is_empty() => {
            Err(complaint(&url_field, "invalid_base64", "holds an empty image."))
        }
        Ok(bytes) => Ok((format, bytes)),
        Err(error) => Err(complaint(
            &url_field,
            "invalid_base64",
            &format!("does not hold valid base64: {error}."),
        )),
    }
}

fn complaint(field: &Field<'_>, code: &'static str, message: &str) -> BadRequest {
    BadRequest::new(code, field.to_string(), format!("`{field}` {message}"))
}

/// The media type and the base64 of `data:<type>[;<parameter>..];base64,<data>`.
fn split_data_url(url: &str) -> Option<(&str, &str)> {
    let scheme = url.get(..5)?;
    if !scheme.eq_ignore_ascii_case("data:") {
        return None;
    }
    let (head, data) = url.get(5..)?.split_once(',')?;
    let (media_type, parameters) = head.split_once(';')?;
    parameters
        .rsplit(';')
        .next()?
        .trim()
        .eq_ignore_ascii_case("base64")
        .then_some((media_type.trim(), data.trim()))
}
