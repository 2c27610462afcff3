//! Pictures and documents: in data URLs, uploaded before, or elsewhere.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Value, json};

use crate::wire::field::Field;
use crate::{BadRequest, DocumentFormat, ImageFormat, Model, Source, Upload};

/// Takes base64 with and without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How a URL names a file that was uploaded before, where the dialect has no field for its id.
const UPLOAD_URL: &str = "weir://uploads/";

/// The name of a document whose client gave none.
const NAMELESS: &str = "document";

/// A picture or a document.
pub(super) enum Media {
    Image { format: ImageFormat, source: Source },
    Document { format: DocumentFormat, name: String, source: Source },
}

/// Where media of a request are looked up, and who is to see them.
#[derive(Clone, Copy)]
pub(super) struct MediaReader<'a> {
    pub(super) model: &'a Model,
    pub(super) uploads: &'a [(String, Upload)],
}

impl MediaReader<'_> {
    /// Reads the picture of an `image_url` part.
    pub(super) fn image(self, part: &Field<'_>) -> Result<Media, BadRequest> {
        if !self.model.capabilities.images {
            return Err(part.unsupported(format_args!(
                "is an image, and `{}` reads text only.",
                self.model.id
            )));
        }
        let image = part.require("image_url")?;
        image.object()?;
        let url_field = image.require("url")?;
        let url = url_field.str()?;
        if let Some(id) = url.strip_prefix(UPLOAD_URL) {
            let upload = self.upload(&url_field, id)?;
            let format = image_format(&url_field, &upload.media_type)?;
            return Ok(Media::Image { format, source: self.source_of(upload) });
        }
        if let Some((media_type, data)) = split_data_url(url) {
            let format = image_format(&url_field, media_type)?;
            let source = Source::Bytes(decode(&url_field, data, "image")?);
            return Ok(Media::Image { format, source });
        }
        let source = elsewhere(&url_field, url)?;
        // Nobody says what it is; providers that fetch it look for themselves.
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
        let format = ImageFormat::of_media_type(&format!("image/{extension}"));
        Ok(Media::Image { format: format.unwrap_or(ImageFormat::Jpeg), source })
    }

    /// Reads the document (or picture) of a `file` part.
    pub(super) fn file(self, part: &Field<'_>) -> Result<Media, BadRequest> {
        let file = part.require("file")?;
        file.object()?;
        let filename = file.get("filename").map(|name| name.str()).transpose()?;
        if let Some(id_field) = file.get("file_id") {
            let upload = self.upload(&id_field, id_field.str()?)?;
            return self
                .media(&id_field, &upload.media_type, filename, || Ok(self.source_of(upload)));
        }
        let data_field = file.require("file_data")?;
        let data = data_field.str()?;
        let (media_type, data) = match split_data_url(data) {
            Some((media_type, data)) => (media_type, data),
            None => (media_type_of(filename.unwrap_or_default()), data),
        };
        self.media(&data_field, media_type, filename, || {
            decode(&data_field, data, "file").map(Source::Bytes)
        })
    }

    fn media(
        self,
        field: &Field<'_>,
        media_type: &str,
        filename: Option<&str>,
        source: impl FnOnce() -> Result<Source, BadRequest>,
    ) -> Result<Media, BadRequest> {
        let able = &self.model.capabilities;
        if let Some(format) = ImageFormat::of_media_type(media_type).filter(|_| able.images) {
            return Ok(Media::Image { format, source: source()? });
        }
        // What has no media type of its own is known by its name.
        let by_name = || DocumentFormat::of_media_type(media_type_of(filename.unwrap_or_default()));
        let Some(format) = DocumentFormat::of_media_type(media_type).or_else(by_name) else {
            let media_type: String = media_type.chars().take(64).collect();
            return Err(complaint(
                field,
                "unsupported_file_media_type",
                &format!(
                    "holds `{media_type}`: send a PDF, Word, Excel, HTML, CSV, Markdown or text file, with its media type (`data:application/pdf;base64,..`) or a `filename` that tells it."
                ),
            ));
        };
        if !able.documents {
            return Err(field.unsupported(format_args!(
                "holds a document, and `{}` reads none.",
                self.model.id
            )));
        }
        let name = filename.filter(|name| !name.trim().is_empty()).unwrap_or(NAMELESS).to_owned();
        Ok(Media::Document { format, name, source: source()? })
    }

    fn upload(&self, field: &Field<'_>, id: &str) -> Result<&Upload, BadRequest> {
        let found = self.uploads.iter().find(|(known, _)| known == id).map(|(_, upload)| upload);
        found.ok_or_else(|| {
            field.invalid("names no file that was uploaded: send it to `POST /v1/files` first.")
        })
    }

    /// Where it is kept, for models that read from there; else its bytes.
    fn source_of(self, upload: &Upload) -> Source {
        if self.model.capabilities.s3_sources {
            Source::S3 { uri: upload.s3_uri.clone(), bucket_owner: None }
        } else {
            Source::Bytes(upload.bytes.to_vec())
        }
    }
}

/// A picture on the web.
fn elsewhere(field: &Field<'_>, url: &str) -> Result<Source, BadRequest> {
    let has_scheme = |scheme: &str| {
        url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if has_scheme("https://") || has_scheme("http://") {
        Ok(Source::Url(url.to_owned()))
    } else {
        // Buckets are not the client's to name; what it uploaded it names by its id.
        Err(complaint(
            field,
            "invalid_image_url",
            "must hold the image itself, as `data:image/png;base64,..`, or name one that was uploaded, as `weir://uploads/<id>`.",
        ))
    }
}

/// The id of the uploaded file that a content part names, if it names one.
pub(super) fn upload_id(part: &Value) -> Option<&str> {
    let url = || part.pointer("/image_url/url")?.as_str()?.strip_prefix(UPLOAD_URL);
    part.pointer("/file/file_id").and_then(Value::as_str).or_else(url)
}

/// Puts the file itself in place of its id, for providers that know nothing of uploads.
pub(super) fn embed(part: &mut Value, uploads: &[(String, Upload)]) {
    let Some(id) = upload_id(part) else {
        return;
    };
    let Some((_, upload)) = uploads.iter().find(|(known, _)| known == id) else {
        return;
    };
    let data = data_url(&upload.media_type, &upload.bytes);
    if let Some(url) = part.pointer_mut("/image_url/url") {
        *url = data.into();
    } else if let Some(Value::Object(file)) = part.get_mut("file") {
        file.remove("file_id");
        let format = DocumentFormat::of_media_type(&upload.media_type);
        let extension = format.map_or_else(String::new, |it| format!(".{}", it.extension()));
        file.entry("filename").or_insert_with(|| json!(format!("{NAMELESS}{extension}")));
        file.insert("file_data".to_owned(), data.into());
    }
}

/// A data URL of `bytes`.
pub(super) fn data_url(media_type: &str, bytes: &[u8]) -> String {
    let mut url = format!("data:{media_type};base64,");
    base64::engine::general_purpose::STANDARD.encode_string(bytes, &mut url);
    url
}

fn media_type_of(filename: &str) -> &'static str {
    let extension = filename.rsplit_once('.').map_or("", |(_, extension)| extension);
    DocumentFormat::of_extension(extension).map_or("application/octet-stream", |it| it.media_type())
}

fn image_format(field: &Field<'_>, media_type: &str) -> Result<ImageFormat, BadRequest> {
    ImageFormat::of_media_type(media_type).ok_or_else(|| {
        let other: String = media_type.chars().take(64).collect();
        let message = format!("holds `{other}`: send a PNG, JPEG, GIF or WebP image.");
        complaint(field, "unsupported_image_media_type", &message)
    })
}

fn decode(field: &Field<'_>, data: &str, what: &str) -> Result<Vec<u8>, BadRequest> {
    match BASE64.decode(data) {
        Ok(bytes) if bytes.is_empty() => {
            Err(complaint(field, "invalid_base64", &format!("holds an empty {what}.")))
        }
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(complaint(
            field,
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
