//! Versions of Talos and Kubernetes, both of which are at 1.something.

use std::fmt;
use std::str::FromStr;

/// A version such as `1.13`, `v1.13.6` or `1.14.0-beta.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    minor: u16,
    patch: Option<u16>,
    stage: Stage,
}

/// How near to its release a version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Alpha(u16),
    Beta(u16),
    Candidate(u16),
    Release,
}

/// A text that is no such version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write it as 1.13 or 1.13.6; it begins with 1")]
pub(crate) struct VersionError;

impl Version {
    /// The minor version: 13 of 1.13.6.
    pub(crate) fn minor(self) -> u16 {
        self.minor
    }

    /// Whether it is this minor version's first one at `stage`, or anything later.
    pub(crate) fn is_since(self, minor: u16, stage: Stage) -> bool {
        let first = self.minor == minor && self.patch.unwrap_or_default() == 0;
        self.minor >= minor && (!first || self.stage >= stage)
    }

    /// What the tag of an image says.
    pub(crate) fn of_image(image: &str) -> Option<Self> {
        let name = image.split('@').next()?.rsplit('/').next()?;
        let (_, tag) = name.rsplit_once(':')?;
        tag.parse().ok()
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (core, stage) = text.split_once('-').unwrap_or((text, ""));
        let mut numbers = core.split('.');
        let (Some("1"), Some(minor)) = (numbers.next(), numbers.next()) else {
            return Err(VersionError);
        };
        let patch = numbers.next().map(number).transpose()?;
        if numbers.next().is_some() {
            return Err(VersionError);
        }
        Ok(Self {
            minor: number(minor)?,
            patch,
            stage: Stage::parse(stage)?,
        })
    }
}

impl Stage {
    fn parse(text: &str) -> Result<Self, VersionError> {
        let (name, count) = text.split_once('.').unwrap_or((text, "0"));
        // Builds by hand append where they stand, such as 12-g0123abc.
        let count = count.split_once('-').map_or(count, |(count, _)| count);
        match name {
            "alpha" => Ok(Self::Alpha(number(count)?)),
            "beta" => Ok(Self::Beta(number(count)?)),
            "rc" => Ok(Self::Candidate(number(count)?)),
            _ => Ok(Self::Release),
        }
    }
}

fn number(text: &str) -> Result<u16, VersionError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_plain.then(|| text.parse().ok()).flatten();
    number.ok_or(VersionError)
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.minor)?;
        if let Some(patch) = self.patch {
            write!(f, ".{patch}")?;
        }
        match self.stage {
            Stage::Alpha(count) => write!(f, "-alpha.{count}"),
            Stage::Beta(count) => write!(f, "-beta.{count}"),
            Stage::Candidate(count) => write!(f, "-rc.{count}"),
            Stage::Release => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_both_projects_write_them() {
        for (text, expected) in [
            ("1.13", "1.13"),
            ("v1.13.6", "1.13.6"),
            ("1.14.0-alpha.2", "1.14.0-alpha.2"),
            ("v1.14.0-beta.0", "1.14.0-beta.0"),
            ("1.14.0-rc.1", "1.14.0-rc.1"),
            ("v1.13.0-12-g0123abc", "1.13.0"),
            ("v1.14.0-alpha.2-12-g0123abc", "1.14.0-alpha.2"),
            ("1.14.0-alpha.2-12-g0123abc-dirty", "1.14.0-alpha.2"),
        ] {
            assert_eq!(text.parse::<Version>().unwrap().to_string(), expected);
        }
        for text in [
            "",
            "1",
            "2.0",
            "latest",
            "1.",
            "1.x",
            "1.13.",
            "1.13.0.1",
            "1.+3",
            "1.99999",
            "1.14.0-alpha.-12",
        ] {
            assert_eq!(text.parse::<Version>(), Err(VersionError), "{text}");
        }
    }

    #[test]
    fn a_first_release_has_stages_and_later_ones_are_past_them() {
        let is_since = |text: &str, minor, stage| {
            let version: Version = text.parse().unwrap();
            version.is_since(minor, stage)
        };
        for (text, expected) in [
            ("1.13.6", false),
            ("1.14.0-alpha.2", false),
            ("1.14.0-beta.1", false),
            ("1.14.0-rc.0", false),
            ("1.14.0-rc.1", true),
            ("1.14", true),
            ("1.14.1-alpha.0", true),
            ("1.15.0-alpha.0", true),
        ] {
            assert_eq!(is_since(text, 14, Stage::Candidate(1)), expected, "{text}");
        }
    }

    #[test]
    fn a_tag_tells_the_version_of_an_image() {
        for (image, expected) in [
            ("registry.example/kube-apiserver:v1.36.0", Some("1.36.0")),
            (
                "registry.example:5000/a/installer:v1.13.0@sha256:00",
                Some("1.13.0"),
            ),
            ("registry.example:5000/kube-apiserver", None),
            ("registry.example/kube-apiserver:latest", None),
            ("", None),
        ] {
            let version = Version::of_image(image).map(|version| version.to_string());
            assert_eq!(version.as_deref(), expected, "{image}");
        }
    }
}
