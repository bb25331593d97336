//! The clauses of `Accept`, as `github.com/munnerz/goautoneg` reads them.

use http::HeaderValue;
use http::header::GetAll;

/// How many clauses are read, and how long one may be. Anybody may send the header, and it is read
/// before the caller is known; kubectl sends three clauses of some 50 bytes.
const CLAUSES: usize = 32;
const CLAUSE_BYTES: usize = 256;

/// One clause, such as `application/json;as=Table;v=v1;g=meta.k8s.io;q=0.9`.
#[derive(Debug)]
pub(super) struct Clause<'a> {
    pub(super) kind: &'a str,
    pub(super) subkind: &'a str,
    parameters: &'a str,
    quality: f32,
}

/// All clauses, the most wanted first; of equal quality the more specific first, then the earlier.
/// What is no clause is left out, and so is all that comes after [`CLAUSES`]. A quality of zero is the least wish and not, as in RFC 9110, a
/// refusal.
pub(super) fn clauses(headers: GetAll<'_, HeaderValue>) -> Vec<Clause<'_>> {
    let mut clauses: Vec<_> = headers
        .into_iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(','))
        .take(CLAUSES)
        .filter(|clause| clause.len() <= CLAUSE_BYTES)
        .filter_map(Clause::parse)
        .collect();
    clauses.sort_by(|a, b| {
        b.quality
            .total_cmp(&a.quality)
            .then_with(|| a.wildcards().cmp(&b.wildcards()))
    });
    clauses
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (range, parameters) = text.split_once(';').unwrap_or((text, ""));
        let (kind, subkind) = match range.trim() {
            "*" => ("*", "*"),
            range => range.split_once('/')?,
        };
        let mut clause = Self {
            kind: kind.trim(),
            subkind: subkind.trim(),
            parameters,
            quality: 1.0,
        };
        if let Some(quality) = clause.find("q") {
            clause.quality = quality
                .parse()
                .ok()
                .filter(|q: &f32| q.is_finite())
                .unwrap_or(0.0);
        }
        Some(clause)
    }

    /// The value of a parameter, empty where there is none. The last one counts.
    pub(super) fn parameter(&self, name: &str) -> &'a str {
        self.find(name).unwrap_or_default()
    }

    /// Group, version and kind that the answer is to be turned into, if any is asked for.
    pub(super) fn conversion(&self) -> Option<(&'a str, &'a str, &'a str)> {
        let (group, version, kind) = (self.find("g"), self.find("v"), self.find("as"));
        group.or(version).or(kind)?;
        Some((
            group.unwrap_or_default(),
            version.unwrap_or_default(),
            kind.unwrap_or_default(),
        ))
    }

    fn find(&self, name: &str) -> Option<&'a str> {
        self.parameters
            .rsplit(';')
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim())
    }

    fn wildcards(&self) -> usize {
        usize::from(self.kind == "*") + usize::from(self.subkind == "*")
    }
}
