//! XPath 1.0 (<https://www.w3.org/TR/1999/REC-xpath-19991116/>), without variables, comments,
//! processing instructions and the functions `id` and `lang`.

mod eval;
mod parse;

pub(super) use eval::Value;

/// An expression, compiled.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct XPath(Expr);

#[derive(Debug, Clone, PartialEq)]
enum Expr {
    Binary(Operator, Box<Expr>, Box<Expr>),
    Negate(Box<Expr>),
    Number(f64),
    Text(String),
    Call(Function, Vec<Expr>),
    Path { from: Origin, steps: Vec<Step> },
}

/// Where a path begins.
#[derive(Debug, Clone, PartialEq)]
enum Origin {
    Document,
    Here,
    Nodes(Box<Expr>, Vec<Expr>),
}

#[derive(Debug, Clone, PartialEq)]
struct Step {
    axis: Axis,
    test: Test,
    predicates: Vec<Expr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Union,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    Child,
    Descendant,
    DescendantOrSelf,
    Parent,
    Ancestor,
    AncestorOrSelf,
    FollowingSibling,
    PrecedingSibling,
    Following,
    Preceding,
    Attribute,
    Itself,
}

const AXES: [(&str, Axis); 12] = [
    ("child", Axis::Child),
    ("descendant", Axis::Descendant),
    ("descendant-or-self", Axis::DescendantOrSelf),
    ("parent", Axis::Parent),
    ("ancestor", Axis::Ancestor),
    ("ancestor-or-self", Axis::AncestorOrSelf),
    ("following-sibling", Axis::FollowingSibling),
    ("preceding-sibling", Axis::PrecedingSibling),
    ("following", Axis::Following),
    ("preceding", Axis::Preceding),
    ("attribute", Axis::Attribute),
    ("self", Axis::Itself),
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    /// `node()`.
    Node,
    /// `text()`.
    Text,
    /// A name; none: every one. Without a prefix it is in no namespace.
    Name { prefix: Option<String>, local: Option<String> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Last,
    Position,
    Count,
    LocalName,
    NamespaceUri,
    Name,
    String,
    Concat,
    StartsWith,
    Contains,
    SubstringBefore,
    SubstringAfter,
    Substring,
    StringLength,
    NormalizeSpace,
    Translate,
    Boolean,
    Not,
    True,
    False,
    Number,
    Sum,
    Floor,
    Ceiling,
    Round,
}

/// The functions, and how many arguments they take.
const FUNCTIONS: [(&str, Function, std::ops::RangeInclusive<usize>); 25] = [
    ("last", Function::Last, 0..=0),
    ("position", Function::Position, 0..=0),
    ("count", Function::Count, 1..=1),
    ("local-name", Function::LocalName, 0..=1),
    ("namespace-uri", Function::NamespaceUri, 0..=1),
    ("name", Function::Name, 0..=1),
    ("string", Function::String, 0..=1),
    ("concat", Function::Concat, 2..=32),
    ("starts-with", Function::StartsWith, 2..=2),
    ("contains", Function::Contains, 2..=2),
    ("substring-before", Function::SubstringBefore, 2..=2),
    ("substring-after", Function::SubstringAfter, 2..=2),
    ("substring", Function::Substring, 2..=3),
    ("string-length", Function::StringLength, 0..=1),
    ("normalize-space", Function::NormalizeSpace, 0..=1),
    ("translate", Function::Translate, 3..=3),
    ("boolean", Function::Boolean, 1..=1),
    ("not", Function::Not, 1..=1),
    ("true", Function::True, 0..=0),
    ("false", Function::False, 0..=0),
    ("number", Function::Number, 0..=1),
    ("sum", Function::Sum, 1..=1),
    ("floor", Function::Floor, 1..=1),
    ("ceiling", Function::Ceiling, 1..=1),
    ("round", Function::Round, 1..=1),
];
