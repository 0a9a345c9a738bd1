//! What a key may hold and how `provision` stands to it.

/// A key of `cluster.yml`.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it may hold.
    pub shape: Shape,
    /// Whether it is honoured.
    pub standing: Standing,
    /// Values of a key that is not honoured which ask for nothing: RKE's defaults that are true here as well.
    /// Nothing, `""`, `[]`, `{}`, `false` and `0` are always harmless.
    pub harmless: &'static [&'static str],
}

/// How `provision` stands to a key.
#[derive(Debug)]
pub enum Standing {
    /// It is read and obeyed.
    Honoured {
        /// Its default, in words for the documentation.
        default: &'static str,
        /// What it means.
        meaning: &'static str,
        /// Whether RKE has no such key.
        ours: bool,
    },
    /// It will be honoured one day.
    Later {
        /// What to do until then.
        instead: &'static str,
    },
    /// It will not be honoured.
    LeftOut {
        /// Why.
        reason: &'static str,
    },
    /// It stands as the key stands which holds it.
    AsAbove,
}

/// What a key may hold.
#[derive(Debug)]
pub enum Shape {
    /// A text; a number or truth value without quotes counts as its spelling.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Integer,
    /// A list of texts.
    Texts,
    /// A map of names to texts.
    TextMap,
    /// A map of names to lists of texts.
    TextsMap,
    /// A map of known keys.
    Section(&'static [Key]),
    /// A list of maps of known keys.
    Sections(&'static [Key]),
    /// A map of the operator's names to maps of known keys.
    Named(&'static [Key]),
    /// A map of known keys, named here with blanks between them, whose values are not looked at.
    Names(&'static str),
    /// A map that another program reads.
    FreeMap,
    /// Something that another program reads.
    Any,
}

impl Shape {
    /// The word for messages and the documentation.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Flag => "true or false",
            Self::Integer => "a whole number",
            Self::Texts => "a list of texts",
            Self::TextMap => "a map of names to texts",
            Self::TextsMap => "a map of names to lists of texts",
            Self::Section(_) | Self::Named(_) | Self::Names(_) | Self::FreeMap => "a map",
            Self::Sections(_) => "a list of maps",
            Self::Any => "anything",
        }
    }

    /// The known keys below, if there are any.
    pub fn keys(&self) -> &'static [Key] {
        match self {
            Self::Section(keys) | Self::Sections(keys) | Self::Named(keys) => keys,
            _ => &[],
        }
    }
}

impl Key {
    /// Values that ask for nothing.
    pub(super) const fn harmless(mut self, values: &'static [&'static str]) -> Self {
        self.harmless = values;
        self
    }
}

const fn key(name: &'static str, shape: Shape, standing: Standing) -> Key {
    Key { name, shape, standing, harmless: &[] }
}

/// A key of RKE that is honoured.
pub(super) const fn honoured(name: &'static str, shape: Shape, default: &'static str, meaning: &'static str) -> Key {
    key(name, shape, Standing::Honoured { default, meaning, ours: false })
}

/// A key that RKE does not have.
pub(super) const fn ours(name: &'static str, shape: Shape, default: &'static str, meaning: &'static str) -> Key {
    key(name, shape, Standing::Honoured { default, meaning, ours: true })
}

/// A map of RKE, some of whose keys are honoured.
pub(super) const fn section(name: &'static str, keys: &'static [Key]) -> Key {
    key(name, Shape::Section(keys), Standing::Honoured { default: "", meaning: "", ours: false })
}

/// A map that RKE does not have.
pub(super) const fn our_section(name: &'static str, keys: &'static [Key]) -> Key {
    key(name, Shape::Section(keys), Standing::Honoured { default: "", meaning: "", ours: true })
}

/// A key of RKE that is not supported yet.
pub(super) const fn later(name: &'static str, shape: Shape, instead: &'static str) -> Key {
    key(name, shape, Standing::Later { instead })
}

/// A key of RKE that is left out on purpose.
pub(super) const fn left_out(name: &'static str, shape: Shape, reason: &'static str) -> Key {
    key(name, shape, Standing::LeftOut { reason })
}

/// A key below one that is not honoured.
pub(super) const fn part(name: &'static str, shape: Shape) -> Key {
    key(name, shape, Standing::AsAbove)
}
