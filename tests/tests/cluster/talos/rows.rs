//! What Talos makes of each patch: the part of the matrix that no cluster is needed for.

use haulout_tests::talos::{
    Case, Config, Generation, Machine, Rendered, State, Talos, Verdict, Version,
};

use super::patches::{PATCHES, Patch};

/// All patches on the config of one version and generation.
pub(crate) struct Section {
    pub(crate) version: Version,
    pub(crate) generation: Generation,
    /// As Talos generates it.
    pub(crate) stock: Outcome,
    pub(crate) rows: Vec<Row>,
}

/// One patch, applied once and twice.
pub(crate) struct Row {
    pub(crate) patch: &'static Patch,
    pub(crate) once: Outcome,
    pub(crate) again: Outcome,
}

/// What becomes of a config.
pub(crate) enum Outcome {
    /// Talos does not take it.
    Refused(String),
    /// Talos takes it, and this is what kube-apiserver is started with.
    Taken { rendered: Rendered, state: State },
}

impl Section {
    pub(crate) async fn of(talos: &Talos, generation: Generation) -> Self {
        let generated = talos.generate(Machine::ControlPlane, generation).await;
        let generated = generated.unwrap();
        let mut cases = Vec::new();
        for patch in &PATCHES {
            let mut texts = patch.texts();
            cases.push(Case::patched(&generated, &texts));
            texts.extend(texts.last().cloned());
            cases.push(Case::patched(&generated, &texts));
        }
        let mut verdicts = talos.judge(&cases).await.unwrap().into_iter();
        let mut rows = Vec::new();
        for patch in &PATCHES {
            let [once, again] = [(); 2].map(|()| verdicts.next().unwrap());
            rows.push(Row {
                patch,
                once: Outcome::of(talos, once).await,
                again: Outcome::of(talos, again).await,
            });
        }
        Self {
            version: talos.version(),
            generation,
            stock: Outcome::of_config(talos, &generated).await,
            rows,
        }
    }

    /// Each rendering that there is.
    pub(crate) fn rendered(&self) -> impl Iterator<Item = (&Rendered, &State)> {
        let rows = self.rows.iter().flat_map(|row| [&row.once, &row.again]);
        let outcomes = [&self.stock].into_iter().chain(rows);
        outcomes.filter_map(|outcome| match outcome {
            Outcome::Refused(_) => None,
            Outcome::Taken { rendered, state } => Some((rendered, state)),
        })
    }
}

impl Outcome {
    pub(crate) async fn of(talos: &Talos, verdict: Verdict) -> Self {
        match verdict.accepted() {
            Err(why) => Self::Refused(why),
            Ok(config) => Self::of_config(talos, &config).await,
        }
    }

    pub(crate) async fn of_config(talos: &Talos, config: &Config) -> Self {
        let rendered = talos.render(config).await.unwrap();
        let state = State::of(&rendered);
        Self::Taken { rendered, state }
    }

    pub(crate) fn state(&self) -> Option<&State> {
        match self {
            Self::Refused(_) => None,
            Self::Taken { state, .. } => Some(state),
        }
    }
}
