//! Pictures and files: in the request, on the web, in S3, or uploaded before.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::ResponsesRequest;
use crate::wire::field::Field;
use crate::{BadRequest, DocumentFormat, ImageFormat, Model, Source};

/// Takes base64 with and without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads an `input_image`.
pub(super) fn image_of(
    part: &Field<'_>,
    request: &ResponsesRequest,
    model: &Model,
) -> Result<(ImageFormat, Source), BadRequest> {
    if !model.capabilities.images {
        return Err(part.unsupported(format_args!("is an image, and `{}` reads none.", model.id)));
    }
    if let Some(id) = part.get("file_id") {
        let (media_type, source) = upload_of(&id, request, model)?;
        let format =
            ImageFormat::of_media_type(media_type).ok_or_else(|| not_an_image(&id, media_type))?;
        return Ok((format, source));
    }
    let field = part.require("image_url")?;
    let url = field.str()?;
    if let Some(source) = remote(url, &field, model)? {
        return Ok((image_format_of_path(url), source));
    }
    let (media_type, bytes) = data_url(&field, url)?;
    let format =
        ImageFormat::of_media_type(media_type).ok_or_else(|| not_an_image(&field, media_type))?;
    Ok((format, Source::Bytes(bytes)))
}

/// Reads an `input_file`: its format, its name and where it is.
pub(super) fn file_of(
    part: &Field<'_>,
    request: &ResponsesRequest,
    model: &Model,
) -> Result<(DocumentFormat, String, Source), BadRequest> {
    if !model.capabilities.documents {
        return Err(
            part.unsupported(format_args!("is a file, and `{}` reads no documents.", model.id))
        );
    }
    let filename = part.get("filename").map(|field| field.str()).transpose()?;
    let by_name = filename.and_then(format_of_path);
    let name = filename.unwrap_or("document").to_owned();
    if let Some(id) = part.get("file_id") {
        let (media_type, source) = upload_of(&id, request, model)?;
        let format = DocumentFormat::of_media_type(media_type).or(by_name);
        return Ok((format.ok_or_else(|| not_a_document(&id, media_type))?, name, source));
    }
    if let Some(field) = part.get("file_url") {
        let url = field.str()?;
        let format = by_name.or_else(|| format_of_path(url)).unwrap_or(DocumentFormat::Pdf);
        let Some(source) = remote(url, &field, model)? else {
            return Err(
                field.invalid("must be an `https` URL: send the file itself in `file_data`.")
            );
        };
        return Ok((format, name, source));
    }
    let field = part.require("file_data")?;
    let data = field.str()?;
    if data.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) {
        let (media_type, bytes) = data_url(&field, data)?;
        let format = DocumentFormat::of_media_type(media_type).or(by_name);
        let format = format.ok_or_else(|| not_a_document(&field, media_type))?;
        return Ok((format, name, Source::Bytes(bytes)));
    }
    let format = by_name.ok_or_else(|| {
        part.invalid("needs a `filename` that says what it is, for example `report.pdf`.")
    })?;
    Ok((format, name, Source::Bytes(decode(&field, data)?)))
}

/// `data:<media type>;base64,<data>` of an upload, for a provider that knows nothing of it.
pub(super) fn data_url_of_upload(
    id: &Field<'_>,
    request: &ResponsesRequest,
) -> Result<String, BadRequest> {
    let upload = request.uploads.get(id.str()?).ok_or_else(|| no_upload(id))?;
    Ok(data_url_of(&upload.media_type, &upload.bytes))
}

/// `data:<media type>;base64,<data>`
pub(super) fn data_url_of(media_type: &str, bytes: &[u8]) -> String {
    let data = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!("data:{media_type};base64,{data}")
}

fn upload_of<'r>(
    id: &Field<'_>,
    request: &'r ResponsesRequest,
    model: &Model,
) -> Result<(&'r str, Source), BadRequest> {
    let upload = request.uploads.get(id.str()?).ok_or_else(|| no_upload(id))?;
    let source = if model.capabilities.s3_sources {
        Source::S3 { uri: upload.s3_uri.clone(), bucket_owner: None }
    } else {
        Source::Bytes(upload.bytes.to_vec())
    };
    let media_type = upload.media_type.split(';').next().unwrap_or_default().trim();
    Ok((media_type, source))
}

fn no_upload(id: &Field<'_>) -> BadRequest {
    id.invalid("is no file that you uploaded here, or it has expired.")
}

/// A place outside of the request; `None` for anything else.
fn remote(url: &str, field: &Field<'_>, model: &Model) -> Result<Option<Source>, BadRequest> {
    let has_scheme =
        |scheme: &str| url.get(..scheme.len()).is_some_and(|it| it.eq_ignore_ascii_case(scheme));
    if has_scheme("https://") || has_scheme("http://") {
        return Ok(Some(Source::Url(url.to_owned())));
    }
    if !has_scheme("s3://") {
        return Ok(None);
    }
    if model.capabilities.s3_sources {
        Ok(Some(Source::S3 { uri: url.to_owned(), bucket_owner: None }))
    } else {
        Err(field
            .unsupported(format_args!("is in S3, and `{}` does not read from there.", model.id)))
    }
}

/// The media type and the bytes of `data:<type>[;<parameter>..];base64,<data>`.
fn data_url<'u>(field: &Field<'_>, url: &'u str) -> Result<(&'u str, Vec<u8>), BadRequest> {
    let split = url
        .split_once(',')
        .filter(|(head, _)| head.get(..5).is_some_and(|it| it.eq_ignore_ascii_case("data:")))
        .and_then(|(head, data)| Some((head.get(5..)?.split_once(';')?, data)))
        .filter(|((_, parameters), _)| {
            let last = parameters.rsplit(';').next().unwrap_or_default();
            last.trim().eq_ignore_ascii_case("base64")
        });
    let Some(((media_type, _), data)) = split else {
        return Err(field.invalid("must be an `https` URL or `data:<media type>;base64,<data>`."));
    };
    Ok((media_type.trim(), decode(field, data)?))
}

fn decode(field: &Field<'_>, data: &str) -> Result<Vec<u8>, BadRequest> {
    match BASE64.decode(data.trim()) {
        Ok(bytes) if bytes.is_empty() => {
            Err(complaint(field, "invalid_base64", "holds an empty file."))
        }
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(complaint(
            field,
            "invalid_base64",
            &format!("does not hold valid base64: {error}."),
        )),
    }
}

fn not_an_image(field: &Field<'_>, media_type: &str) -> BadRequest {
    let media_type: String = media_type.chars().take(64).collect();
    let message = format!("holds `{media_type}`: send a PNG, JPEG, GIF or WebP image.");
    complaint(field, "unsupported_image_media_type", &message)
}

fn not_a_document(field: &Field<'_>, media_type: &str) -> BadRequest {
    let media_type: String = media_type.chars().take(64).collect();
    let formats: Vec<_> = DocumentFormat::ALL.into_iter().map(DocumentFormat::extension).collect();
    let message =
        format!("holds `{media_type}`: send a document of one of {}.", formats.join(", "));
    complaint(field, "unsupported_file_media_type", &message)
}

fn complaint(field: &Field<'_>, code: &'static str, message: &str) -> BadRequest {
    BadRequest::new(code, field.to_string(), format!("`{field}` {message}"))
}

/// What a URL's path says about its picture; whoever fetches it looks at the bytes.
fn image_format_of_path(url: &str) -> ImageFormat {
    match extension(url).to_ascii_lowercase().as_str() {
        "png" => ImageFormat::Png,
        "gif" => ImageFormat::Gif,
        "webp" => ImageFormat::Webp,
        _ => ImageFormat::Jpeg,
    }
}

fn format_of_path(path: &str) -> Option<DocumentFormat> {
    DocumentFormat::of_extension(extension(path))
}

fn extension(path: &str) -> &str {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}
