//! Where something stands in the file.

/// A place in `cluster.yml`; line and column count characters from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters are meant; 0 where something is missing, so that there is nothing to show.
    pub width: usize,
}

impl Position {
    /// The beginning of the file: for what is missing altogether.
    pub const START: Self = Self { line: 1, column: 1, width: 0 };
}

/// A value with the place where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// What is written.
    pub value: T,
    /// Where.
    pub at: Position,
}

/// What the file says about a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Field<T> {
    /// Nothing, or `null`, or an empty text: the default holds.
    #[default]
    Missing,
    /// Something that is already among the findings; checks that need the value are left out.
    Bad,
    /// A value of the right type.
    Written(At<T>),
}

impl<T> Field<T> {
    /// The value with its place, where one is written.
    pub fn written(&self) -> Option<&At<T>> {
        match self {
            Self::Written(written) => Some(written),
            Self::Missing | Self::Bad => None,
        }
    }

    /// The value, where one is written.
    pub fn value(&self) -> Option<&T> {
        self.written().map(|written| &written.value)
    }

    /// Whether nothing is written.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }
}
