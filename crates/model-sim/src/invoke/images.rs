//! Bodies of models that draw: every picture is one transparent pixel.

use serde_json::{Value, json};

use super::{malformed, only};
use crate::call::Read;
use crate::error::Fault;
use crate::fixed::Fixed;
use crate::prompt::text;

const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// Nova Canvas and Titan Image Generator.
pub(super) fn nova(body: &Value) -> Result<Read, Fault> {
    let task = text(body, "taskType").unwrap_or_default();
    let params = match task {
        "TEXT_IMAGE" => "textToImageParams",
        "INPAINTING" => "inPaintingParams",
        "IMAGE_VARIATION" => "imageVariationParams",
        _ => return malformed("#/taskType: is not a valid enum value"),
    };
    only(body, &["taskType", params, "imageGenerationConfig"])?;
    let prompt = body.get(params).and_then(|params| text(params, "text")).unwrap_or_default();
    if prompt.is_empty() && task == "TEXT_IMAGE" {
        return malformed("#/textToImageParams: required key [text] not found");
    }
    let count =
        body.pointer("/imageGenerationConfig/numberOfImages").map_or(Some(1), Value::as_u64);
    let Some(count @ 1..=5) = count else {
        return malformed("#/imageGenerationConfig/numberOfImages: expected 1 to 5");
    };
    let images: Vec<_> = (0..count).map(|_| PIXEL).collect();
    Ok(Fixed::read([prompt], json!({"images": images, "error": null})))
}

/// Stable Image.
pub(super) fn stability(body: &Value) -> Result<Read, Fault> {
    let Some(prompt) = text(body, "prompt").filter(|prompt| !prompt.is_empty()) else {
        return malformed("#: required key [prompt] not found");
    };
    let answer = json!({"images": [PIXEL], "seeds": [0], "finish_reasons": [null]});
    Ok(Fixed::read([prompt], answer))
}
