//! The window of an incremental export: what AWS asks of it, in AWS's words. Pure.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_IncrementalExportSpecification.html>

use gureum_model_dynamodb::types as t;
use gureum_schema::Timestamp;
use serde::{Deserialize, Serialize};

use crate::errors::{Refusal, Result};

const SHORTEST: i64 = 15 * 60 * 1000;
const LONGEST: i64 = 24 * 3600 * 1000;
const BOTH: &str = "NEW_AND_OLD_IMAGES";

/// A window of time and what is told of it. Times are milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) from: i64,
    /// The first moment behind the window.
    pub(crate) to: i64,
    /// Records also tell what items were before.
    pub(crate) old_images: bool,
}

impl Window {
    /// The window that a request wants; `None` for a full export.
    pub(crate) fn asked(
        input: &t::ExportTableToPointInTimeInput,
        now: i64,
    ) -> Result<Option<Self>> {
        let invalid = |why: &str| Err(Refusal::validation(format!("Invalid Request: {why}")));
        let spec = input.incremental_export_specification.as_ref();
        let spec = match (input.export_type.as_deref(), spec) {
            (Some("INCREMENTAL_EXPORT"), Some(spec)) => spec,
            (Some("INCREMENTAL_EXPORT"), None) => {
                return invalid(
                    "Incremental Export Specification expected when export type is set as Incremental Export",
                );
            }
            (_, None) => return Ok(None),
            (None, Some(_)) => {
                return invalid(
                    "Export Type expected to be Incremental Export when incremental export specification is provided",
                );
            }
            (Some(_), Some(_)) => {
                return invalid(
                    "When Export Type is Full Export , Incremental Export Specification should not be provided",
                );
            }
        };
        let Some(from) = spec.export_from_time else {
            return invalid("ExportFromTime must be provided in IncrementalExportSpecification");
        };
        if input.export_time.is_some() {
            return invalid("ExportTime should not be provided for an Incremental Export");
        }
        // Whole seconds, as clients tell times: the next window can begin where this one ends.
        let latest = now - now.rem_euclid(1000);
        Ok(Some(Self {
            from: from.0,
            to: spec.export_to_time.map_or(latest, |to| to.0),
            old_images: spec.export_view_type.as_deref().unwrap_or(BOTH) == BOTH,
        }))
    }

    /// Refuses a window that no table from `created` could tell by `now`.
    pub(crate) fn check(self, created: i64, now: i64) -> Result<()> {
        let Self { from, to, .. } = self;
        let why = if from < created - created.rem_euclid(1000) {
            let from = seconds(from);
            format!(
                "Incremental export period from time cannot be less than the table creation time : {from}"
            )
        } else if to > now {
            let to = seconds(to);
            format!(
                "Incremental export period to time cannot be greater than the current time : {to}"
            )
        } else if from >= to {
            "Incremental export period from time should not be greater or equal to incremental export period to time".to_owned()
        } else if to - from < SHORTEST {
            "Difference between export period from time and export period to time is less than 15 minutes".to_owned()
        } else if to - from > LONGEST {
            "Difference between export period from time and export period to time is greater than 24 hours".to_owned()
        } else {
            return Ok(());
        };
        Err(Refusal::Special("InvalidExportTimeException", why))
    }

    pub(crate) fn view(self) -> &'static str {
        if self.old_images { BOTH } else { "NEW_IMAGE" }
    }

    pub(crate) fn described(self) -> t::IncrementalExportSpecification {
        t::IncrementalExportSpecification {
            export_from_time: Some(Timestamp(self.from)),
            export_to_time: Some(Timestamp(self.to)),
            export_view_type: Some(self.view().to_owned()),
        }
    }
}

/// `2026-10-08T22:51:50Z`
fn seconds(at: i64) -> String {
    let text = Timestamp(at).iso_millis();
    text.split_once('.')
        .map_or(text.clone(), |(whole, _)| format!("{whole}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: i64 = 1_700_000_000_500;
    const NOW: i64 = CREATED + 3 * LONGEST;

    fn asked(
        kind: Option<&str>,
        spec: Option<(Option<i64>, Option<i64>, Option<&str>)>,
    ) -> Result<Option<Window>> {
        let input = t::ExportTableToPointInTimeInput {
            export_type: kind.map(str::to_owned),
            incremental_export_specification: spec.map(|(from, to, view)| {
                t::IncrementalExportSpecification {
                    export_from_time: from.map(Timestamp),
                    export_to_time: to.map(Timestamp),
                    export_view_type: view.map(str::to_owned),
                }
            }),
            ..Default::default()
        };
        Window::asked(&input, NOW)
    }

    fn words<T: std::fmt::Debug>(refused: Result<T>) -> String {
        format!("{:?}", refused.expect_err("a refusal"))
    }

    #[test]
    fn type_and_specification_belong_together() {
        let spec = Some((Some(CREATED), None, None));
        assert!(words(asked(None, spec)).contains("Export Type expected to be Incremental Export"));
        assert!(
            words(asked(Some("FULL_EXPORT"), spec)).contains("When Export Type is Full Export")
        );
        let incremental = Some("INCREMENTAL_EXPORT");
        assert!(words(asked(incremental, None)).contains("Specification expected"));
        let empty = Some((None, None, None));
        assert!(words(asked(incremental, empty)).contains("ExportFromTime must be provided"));
        assert_eq!(asked(None, None).expect("full"), None);
        assert_eq!(asked(Some("FULL_EXPORT"), None).expect("full"), None);
    }

    #[test]
    fn a_window_ends_now_and_tells_both_images_unless_it_is_said() {
        let incremental = Some("INCREMENTAL_EXPORT");
        let window = asked(incremental, Some((Some(CREATED), None, None)));
        let expected = Window {
            from: CREATED,
            to: NOW - 500,
            old_images: true,
        };
        assert_eq!(window.expect("a window"), Some(expected));
        let spec = Some((Some(CREATED), Some(NOW - 1), Some("NEW_IMAGE")));
        let window = asked(incremental, spec).expect("a window").expect("one");
        assert_eq!((window.to, window.view()), (NOW - 1, "NEW_IMAGE"));
    }

    #[test]
    fn windows_have_their_limits() {
        let check = |from, to| {
            let window = Window {
                from,
                to,
                old_images: true,
            };
            window.check(CREATED, NOW)
        };
        for (from, to, why) in [
            (CREATED - 1000, NOW, "creation time : 2023-11-14T22:13:19Z"),
            (NOW - SHORTEST, NOW + 1, "greater than the current time"),
            (NOW, NOW, "greater or equal"),
            (NOW - SHORTEST + 1, NOW, "less than 15 minutes"),
            (NOW - LONGEST - 1, NOW, "greater than 24 hours"),
        ] {
            assert!(words(check(from, to)).contains(why), "{why}");
        }
        for (from, to) in [
            (CREATED - 500, CREATED + SHORTEST),
            (NOW - SHORTEST, NOW),
            (NOW - LONGEST, NOW),
        ] {
            assert!(check(from, to).is_ok(), "{from} {to}");
        }
    }
}
