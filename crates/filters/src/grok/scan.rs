//! The scanner: runs a pattern of literals, simple classes and well-known pieces in one pass.
//!
//! It walks the ways that the regex would take, in the regex's order, so the first way that
//! gets through has the same captures. Pieces (`pieces.rs`) know only the end that the regex
//! tries first; where another end could matter, the answer is [`Verdict::Unsure`] and the regex
//! must be asked. The same holds for starts: only the beginning of the text is tried, or each
//! place of the literal that the pattern begins with.
//!
//! Bytes are looked at, not characters. A class takes all bytes beyond ASCII or none of them,
//! so the two agree except when a run is given back within a character; then it is unsure.

use super::expand::{self, Definitions, Reference};
use super::patterns;
use super::pieces::{End, Piece};
use memchr::memmem::Finder;

/// The places of the captures, in the order of their groups.
pub(super) type Found = Vec<Option<(usize, usize)>>;

/// What the scanner says about a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Match,
    NoMatch,
    Unsure,
}

/// A compiled pattern.
pub(super) struct Scanner {
    ops: Vec<Op>,
    start: Start,
    /// Literals that every match holds, in this order.
    needed: Vec<Finder<'static>>,
    captures: usize,
    from: [usize; CAPTURES_MAX],
    stack: Vec<Back>,
}

const CAPTURES_MAX: usize = 64;
/// How often the scanner goes back before it leaves the text to the regex.
const BACKS_MAX: usize = 256;
/// How deep patterns may lie in each other, so that building cannot fill the stack.
const DEPTH_MAX: usize = 32;

enum Start {
    /// The pattern begins with `^`.
    Line,
    /// It begins with a literal of this first byte.
    Byte(u8),
    Anything,
}

enum Op {
    Literal(Box<[u8]>),
    /// As many bytes of the class as there are. `then` is the byte that must follow.
    Run {
        class: Box<Class>,
        least: usize,
        most: usize,
        then: Option<u8>,
    },
    /// As few bytes of the class as possible before `then`; without it, none.
    Lazy {
        class: Box<Class>,
        least: usize,
        then: Option<u8>,
    },
    Piece {
        piece: Piece,
        then: Option<u8>,
    },
    Open(usize),
    Close(usize),
    /// Goes on behind it, and at `other` when that fails.
    Split {
        other: usize,
    },
    Jump(usize),
    LineEnd,
    Done,
}

/// A way that is left to be tried.
enum Back {
    Branch { op: usize, at: usize, captured: u64 },
    Shorter { op: usize, at: usize, least: usize, captured: u64 },
    Longer { op: usize, at: usize, captured: u64 },
    Unsure,
}

type Class = [bool; 256];

impl Scanner {
    /// A scanner for a pattern; `None` where the regex must do it. Own patterns under built-in
    /// names change what the pieces stand for, so there is no scanner then.
    pub(super) fn new(pattern: &str, definitions: &Definitions, captures: usize) -> Option<Self> {
        let is_changed = |(name, regex): (&String, &String)| {
            patterns::find(name).is_some() && !patterns::is_ecs(name, regex)
        };
        if definitions.iter().any(is_changed) {
            return None;
        }
        let mut parser = Parser { definitions, captures: 0, depth: 0 };
        let anchored = pattern.starts_with('^');
        let mut rest = pattern.strip_prefix('^').unwrap_or(pattern);
        let node = parser.alternatives(&mut rest)?;
        // Only the first of several alternatives would be at the beginning.
        if anchored && matches!(node, Node::Alternatives(_)) {
            return None;
        }
        if !rest.is_empty() || parser.captures != captures || captures > CAPTURES_MAX {
            return None;
        }
        let mut ops = Vec::new();
        compile(&node, &mut ops);
        ops.push(Op::Done);
        look_ahead(&mut ops)?;
        let start = match first_literal(&ops) {
            _ if anchored => Start::Line,
            Some(byte) => Start::Byte(byte),
            None => Start::Anything,
        };
        let mut needed = Vec::new();
        literals(&node, &mut needed);
        Some(Self { ops, start, needed, captures, from: [0; CAPTURES_MAX], stack: Vec::new() })
    }

    /// Whether the text matches; if so, `found` holds the captures.
    pub(super) fn run(&mut self, text: &[u8], found: &mut Found) -> Verdict {
        found.clear();
        found.resize(self.captures, None);
        let mut at = 0;
        if let Start::Byte(first) = self.start {
            while let Some(n) = memchr::memchr(first, &text[at..]) {
                match self.run_at(text, at + n, found) {
                    Verdict::NoMatch => at += n + 1,
                    Verdict::Unsure if self.lacks_literal(text) => return Verdict::NoMatch,
                    verdict => return verdict,
                }
            }
            return Verdict::NoMatch;
        }
        match self.run_at(text, 0, found) {
            Verdict::Match => Verdict::Match,
            Verdict::NoMatch if self.is_one_line(text) => Verdict::NoMatch,
            _ if self.lacks_literal(text) => Verdict::NoMatch,
            _ => Verdict::Unsure,
        }
    }

    /// Whether the text has no other place at which the pattern could begin.
    fn is_one_line(&self, text: &[u8]) -> bool {
        matches!(self.start, Start::Line) && memchr::memchr(b'\n', text).is_none()
    }

    fn lacks_literal(&self, text: &[u8]) -> bool {
        let mut rest = text;
        for literal in &self.needed {
            let Some(at) = literal.find(rest) else { return true };
            rest = &rest[at + literal.needle().len()..];
        }
        false
    }

    fn run_at(&mut self, text: &[u8], start: usize, found: &mut Found) -> Verdict {
        self.stack.clear();
        let (mut op, mut at, mut captured) = (0, start, 0_u64);
        let mut backs = 0;
        loop {
            let next = match &self.ops[op] {
                Op::Literal(literal) => begins(&text[at..], literal).then(|| at + literal.len()),
                Op::Run { class, least, most, then } => {
                    let end = at + run(&text[at..], class, *most);
                    let least = at + least;
                    let end = if end < least { None } else { longest(text, least, end, *then) };
                    // A byte that is not in the class can follow in one place only.
                    let shorter = then.is_none_or(|then| class[usize::from(then)]);
                    if let Some(end) = end.filter(|end| *end > least && shorter) {
                        self.stack.push(Back::Shorter { op, at: end, least, captured });
                    }
                    end
                }
                Op::Lazy { class, least, then } => {
                    let least = at + least;
                    let ready = text
                        .get(at..least)
                        .is_some_and(|text| text.iter().all(|byte| class[usize::from(*byte)]));
                    let end = if ready { shortest(text, least, class, *then) } else { None };
                    if let Some(end) = end.filter(|end| *end < text.len() && class[usize::from(text[*end])]) {
                        self.stack.push(Back::Longer { op, at: end, captured });
                    }
                    end
                }
                Op::Piece { piece, then } => match piece.end(text, at, *then) {
                    End::Only(end) => Some(end),
                    End::First(end) => {
                        self.stack.push(Back::Unsure);
                        Some(end)
                    }
                    End::None => None,
                    End::Unsure => return Verdict::Unsure,
                },
                Op::Open(capture) => {
                    self.from[*capture] = at;
                    Some(at)
                }
                Op::Close(capture) => {
                    found[*capture] = Some((self.from[*capture], at));
                    captured |= 1 << capture;
                    Some(at)
                }
                Op::Split { other } => {
                    self.stack.push(Back::Branch { op: *other, at, captured });
                    Some(at)
                }
                Op::Jump(to) => {
                    op = *to;
                    continue;
                }
                Op::LineEnd => matches!(text.get(at), None | Some(b'\n')).then_some(at),
                Op::Done => {
                    for (capture, place) in found.iter_mut().enumerate() {
                        if captured & 1 << capture == 0 {
                            *place = None;
                        }
                    }
                    return Verdict::Match;
                }
            };
            if let Some(next) = next {
                (op, at) = (op + 1, next);
                continue;
            }
            backs += 1;
            if backs > BACKS_MAX {
                return Verdict::Unsure;
            }
            (op, at, captured) = match self.back(text) {
                Ok(Some(way)) => way,
                Ok(None) => return Verdict::NoMatch,
                Err(verdict) => return verdict,
            };
        }
    }

    /// The way to be tried next.
    fn back(&mut self, text: &[u8]) -> Result<Option<(usize, usize, u64)>, Verdict> {
        while let Some(back) = self.stack.pop() {
            match back {
                Back::Unsure => return Err(Verdict::Unsure),
                Back::Branch { op, at, captured } => return Ok(Some((op, at, captured))),
                Back::Shorter { op, at, least, captured } => {
                    let Op::Run { then, .. } = &self.ops[op] else { unreachable!("only runs get shorter") };
                    let Some(end) = longest(text, least, at - 1, *then) else { continue };
                    if !text[end].is_ascii() {
                        return Err(Verdict::Unsure);
                    }
                    if end > least {
                        self.stack.push(Back::Shorter { op, at: end, least, captured });
                    }
                    return Ok(Some((op + 1, end, captured)));
                }
                Back::Longer { op, at, captured } => {
                    let Op::Lazy { class, then, .. } = &self.ops[op] else {
                        unreachable!("only lazy runs get longer")
                    };
                    let Some(end) = shortest(text, at + 1, class, *then) else { continue };
                    if end < text.len() && class[usize::from(text[end])] {
                        self.stack.push(Back::Longer { op, at: end, captured });
                    }
                    return Ok(Some((op + 1, end, captured)));
                }
            }
        }
        Ok(None)
    }
}

/// Like `starts_with`, and quick for the single bytes that most literals are.
fn begins(text: &[u8], literal: &[u8]) -> bool {
    text.first() == literal.first() && (literal.len() == 1 || text.starts_with(literal))
}

fn run(text: &[u8], class: &Class, most: usize) -> usize {
    let text = &text[..text.len().min(most)];
    text.iter().position(|byte| !class[usize::from(*byte)]).unwrap_or(text.len())
}

/// The last end of a run between these bounds that `then` follows.
fn longest(text: &[u8], least: usize, end: usize, then: Option<u8>) -> Option<usize> {
    match then {
        Some(then) if text.get(end) != Some(&then) => {
            memchr::memrchr(then, &text[least..end]).map(|n| least + n)
        }
        _ => Some(end),
    }
}

/// The first end of a run, from `at` on, that `then` follows.
fn shortest(text: &[u8], at: usize, class: &Class, then: Option<u8>) -> Option<usize> {
    let Some(then) = then else { return Some(at) };
    let end = at + text.get(at..)?.iter().position(|byte| *byte == then || !class[usize::from(*byte)])?;
    (text[end] == then).then_some(end)
}

/// A pattern as it is written.
enum Node {
    Literal(Vec<u8>),
    Run { class: Box<Class>, least: usize, most: usize },
    Lazy { class: Box<Class>, least: usize },
    Piece(Piece),
    Capture(usize, Box<Node>),
    Sequence(Vec<Node>),
    Alternatives(Vec<Node>),
    Maybe(Box<Node>),
    LineEnd,
}

struct Parser<'d> {
    definitions: &'d Definitions,
    captures: usize,
    depth: usize,
}

impl Parser<'_> {
    /// Reads up to the closing parenthesis or the end.
    fn alternatives(&mut self, rest: &mut &str) -> Option<Node> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let mut all = vec![self.sequence(rest)?];
        while let Some(behind) = rest.strip_prefix('|') {
            *rest = behind;
            all.push(self.sequence(rest)?);
        }
        self.depth -= 1;
        if all.len() == 1 { all.pop() } else { Some(Node::Alternatives(all)) }
    }

    fn sequence(&mut self, rest: &mut &str) -> Option<Node> {
        let mut all: Vec<Node> = Vec::new();
        while !rest.is_empty() && !rest.starts_with(['|', ')']) {
            let atom = self.atom(rest)?;
            let node = quantified(atom, rest)?;
            match (all.last_mut(), node) {
                (Some(Node::Literal(before)), Node::Literal(more)) => before.extend(more),
                (_, node) => all.push(node),
            }
        }
        Some(Node::Sequence(all))
    }

    fn atom(&mut self, rest: &mut &str) -> Option<Node> {
        if let Some(behind) = rest.strip_prefix("%{") {
            let (reference, behind) = Reference::read(behind).ok()?;
            *rest = behind;
            return self.reference(&reference);
        }
        let first = rest.chars().next()?;
        match first {
            '(' => self.group(rest),
            '[' => class(rest).map(one_of),
            '$' => {
                *rest = &rest[1..];
                Some(Node::LineEnd)
            }
            '.' => {
                *rest = &rest[1..];
                // As `MULTILINE` of Ruby has it.
                Some(one_of(class_of(|_| true)))
            }
            '\\' => {
                let next = *rest.as_bytes().get(1)?;
                *rest = rest.get(2..)?;
                match (named_class(next), next.is_ascii_punctuation() || next == b' ') {
                    (Some(class), _) => Some(one_of(class)),
                    (None, true) => Some(Node::Literal(vec![next])),
                    (None, false) => None,
                }
            }
            '^' | '*' | '+' | '?' | '{' => None,
            other => {
                *rest = &rest[other.len_utf8()..];
                Some(Node::Literal(other.to_string().into_bytes()))
            }
        }
    }

    fn reference(&mut self, reference: &Reference<'_>) -> Option<Node> {
        let capture = reference.capture.as_ref().map(|_| self.capture());
        let node = match Piece::named(reference.name) {
            Some(piece) => Node::Piece(piece),
            None => {
                let mut inner = expand::definition(reference.name, self.definitions)?;
                let node = self.alternatives(&mut inner)?;
                inner.is_empty().then_some(node)?
            }
        };
        Some(captured(capture, node))
    }

    fn group(&mut self, rest: &mut &str) -> Option<Node> {
        let mut capture = None;
        if let Some((_, opening)) = expand::group_name(rest) {
            capture = Some(self.capture());
            *rest = &rest[opening..];
        } else {
            let behind = &rest[1..];
            *rest = behind.strip_prefix("?:").unwrap_or(behind);
            // Flags, what looks around and atomic groups are for the regex.
            if rest.starts_with(['?', '*']) {
                return None;
            }
        }
        let node = self.alternatives(rest)?;
        *rest = rest.strip_prefix(')')?;
        Some(captured(capture, node))
    }

    fn capture(&mut self) -> usize {
        self.captures += 1;
        self.captures - 1
    }
}

fn captured(capture: Option<usize>, node: Node) -> Node {
    match capture {
        Some(capture) => Node::Capture(capture, Box::new(node)),
        // What is put in a group is not one literal with its neighbours, for a quantifier.
        None => Node::Sequence(vec![node]),
    }
}

/// Reads the quantifier behind an atom.
fn quantified(atom: Node, rest: &mut &str) -> Option<Node> {
    let quantifier = rest.chars().next().filter(|c| "?*+{".contains(*c));
    let Some(quantifier) = quantifier else {
        // One byte of a character would be half of it.
        let half = matches!(&atom, Node::Run { class, .. } if class[0x80]);
        return (!half).then_some(atom);
    };
    *rest = &rest[1..];
    let lazy = rest.strip_prefix('?');
    *rest = lazy.unwrap_or(rest);
    if rest.starts_with('+') || quantifier == '{' {
        return None;
    }
    let least = usize::from(quantifier == '+');
    match (quantifier, atom) {
        ('?', Node::Run { class, .. }) if class[0x80] => None,
        ('?', atom) => lazy.is_none().then(|| Node::Maybe(Box::new(atom))),
        (_, Node::Literal(byte)) if byte.len() == 1 => {
            let class = Box::new(class_of(|other| other == byte[0]));
            Some(Node::Run { class, least, most: usize::MAX }).filter(|_| lazy.is_none())
        }
        (_, Node::Run { class, .. }) if lazy.is_some() => Some(Node::Lazy { class, least }),
        (_, Node::Run { class, .. }) => Some(Node::Run { class, least, most: usize::MAX }),
        _ => None,
    }
}

fn one_of(class: Class) -> Node {
    Node::Run { class: Box::new(class), least: 1, most: 1 }
}

fn class_of(holds: impl Fn(u8) -> bool) -> Class {
    std::array::from_fn(|byte| holds(byte as u8))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The class of `\d` and its like.
fn named_class(name: u8) -> Option<Class> {
    Some(match name {
        b'd' => class_of(|byte| byte.is_ascii_digit()),
        b'D' => class_of(|byte| !byte.is_ascii_digit()),
        b'h' => class_of(|byte| byte.is_ascii_hexdigit()),
        b's' => class_of(is_space),
        b'S' => class_of(|byte| !is_space(byte)),
        b'w' => class_of(is_word),
        b'W' => class_of(|byte| !is_word(byte)),
        _ => return None,
    })
}

/// Reads a class in brackets, of ASCII only.
fn class(rest: &mut &str) -> Option<Class> {
    let bytes = rest.as_bytes();
    let negative = bytes.get(1) == Some(&b'^');
    let mut at = 1 + usize::from(negative);
    let mut class = [false; 256];
    let begin = at;
    loop {
        if bytes.get(at)? == &b']' && at > begin {
            break;
        }
        if bytes[at] == b'\\'
            && let Some(named) = bytes.get(at + 1).and_then(|name| named_class(*name))
        {
            class.iter_mut().zip(named).for_each(|(own, named)| *own |= named);
            at += 2;
            continue;
        }
        let from = member(bytes, &mut at)?;
        let mut to = from;
        if bytes.get(at) == Some(&b'-') && bytes.get(at + 1) != Some(&b']') {
            at += 1;
            to = member(bytes, &mut at)?;
        }
        class[usize::from(from)..=usize::from(to.max(from))].fill(true);
    }
    if negative {
        class.iter_mut().for_each(|own| *own = !*own);
    }
    *rest = &rest[at + 1..];
    Some(class)
}

/// One byte of a class.
fn member(bytes: &[u8], at: &mut usize) -> Option<u8> {
    let byte = *bytes.get(*at)?;
    *at += 1;
    if !byte.is_ascii() || byte == b'[' || byte == b'%' && bytes.get(*at) == Some(&b'{') {
        return None;
    }
    if byte != b'\\' {
        return Some(byte);
    }
    let escaped = *bytes.get(*at)?;
    *at += 1;
    match escaped {
        b'x' => {
            let digits = std::str::from_utf8(bytes.get(*at..*at + 2)?).ok()?;
            *at += 2;
            u8::from_str_radix(digits, 16).ok().filter(u8::is_ascii)
        }
        b't' => Some(b'\t'),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        other => other.is_ascii_punctuation().then_some(other),
    }
}

fn compile(node: &Node, ops: &mut Vec<Op>) {
    match node {
        Node::Literal(bytes) => ops.push(Op::Literal(bytes.as_slice().into())),
        Node::Run { class, least, most } => {
            ops.push(Op::Run { class: class.clone(), least: *least, most: *most, then: None });
        }
        Node::Lazy { class, least } => {
            ops.push(Op::Lazy { class: class.clone(), least: *least, then: None });
        }
        Node::Piece(piece) => ops.push(Op::Piece { piece: *piece, then: None }),
        Node::Capture(capture, inner) => {
            ops.push(Op::Open(*capture));
            compile(inner, ops);
            ops.push(Op::Close(*capture));
        }
        Node::Sequence(all) => all.iter().for_each(|node| compile(node, ops)),
        Node::Alternatives(all) => {
            let mut jumps = Vec::new();
            for (n, node) in all.iter().enumerate() {
                let split = ops.len();
                let last = n + 1 == all.len();
                if !last {
                    ops.push(Op::Split { other: 0 });
                }
                compile(node, ops);
                if !last {
                    jumps.push(ops.len());
                    ops.push(Op::Jump(0));
                    ops[split] = Op::Split { other: ops.len() };
                }
            }
            let end = ops.len();
            jumps.into_iter().for_each(|jump| ops[jump] = Op::Jump(end));
        }
        Node::Maybe(inner) => {
            let split = ops.len();
            ops.push(Op::Split { other: 0 });
            compile(inner, ops);
            ops[split] = Op::Split { other: ops.len() };
        }
        Node::LineEnd => ops.push(Op::LineEnd),
    }
}

/// Tells each op the byte that must follow. `None` where a lazy run has no literal behind it.
fn look_ahead(ops: &mut [Op]) -> Option<()> {
    for n in 0..ops.len() {
        let after = follower(ops, n + 1);
        let byte = match &ops[after] {
            Op::Literal(bytes) => Some(bytes[0]).filter(u8::is_ascii),
            _ => None,
        };
        let ends = matches!(ops[after], Op::Done);
        let line_ends = matches!(ops[after], Op::LineEnd);
        match &mut ops[n] {
            Op::Run { then, .. } | Op::Piece { then, .. } => *then = byte,
            Op::Lazy { class, least, then } => {
                *then = byte;
                // Up to the line's end a lazy dot takes the same as a greedy one of this line.
                let is_dot =
                    class.iter().enumerate().all(|(byte, holds)| *holds || byte == usize::from(b'\n'));
                let over_lines = class[usize::from(b'\n')];
                if line_ends && is_dot && (!over_lines || *least == 0) {
                    let mut class = class.clone();
                    class[usize::from(b'\n')] = false;
                    ops[n] = Op::Run { class, least: *least, most: usize::MAX, then: None };
                } else if byte.is_none() && !(ends && *least == 0) {
                    return None;
                }
            }
            _ => {}
        }
    }
    Some(())
}

/// The first op from `at` on that looks at the text.
fn follower(ops: &[Op], mut at: usize) -> usize {
    loop {
        match ops.get(at) {
            Some(Op::Open(_) | Op::Close(_)) => at += 1,
            Some(Op::Jump(to)) => at = *to,
            Some(_) => return at,
            None => return ops.len() - 1,
        }
    }
}

fn first_literal(ops: &[Op]) -> Option<u8> {
    match &ops[follower(ops, 0)] {
        Op::Literal(bytes) => Some(bytes[0]),
        _ => None,
    }
}

/// The literals that are outside of alternatives.
fn literals(node: &Node, found: &mut Vec<Finder<'static>>) {
    match node {
        Node::Literal(bytes) => found.push(Finder::new(bytes).into_owned()),
        Node::Capture(_, inner) => literals(inner, found),
        Node::Sequence(all) => all.iter().for_each(|node| literals(node, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grok::Engine;
    use proptest::prelude::*;
    use proptest::sample::{Index, select, subsequence};
    use std::cell::RefCell;
    use std::net::Ipv6Addr;

    struct Both {
        scanner: Scanner,
        utf: Engine,
        bytes: Engine,
        captures: usize,
    }

    impl Both {
        fn new(pattern: &str) -> Self {
            let expanded = expand::expand(pattern, &Definitions::new()).unwrap();
            let captures = expanded.captures.len();
            Self {
                scanner: Scanner::new(pattern, &Definitions::new(), captures).expect(pattern),
                utf: Engine::new(&expanded.regex, true).unwrap(),
                bytes: Engine::new(&expanded.regex, false).unwrap(),
                captures,
            }
        }

        /// What the scanner says, which must be what the regex says.
        #[track_caller]
        fn check(&mut self, text: &[u8]) -> Verdict {
            let (mut scanned, mut read) = (Found::new(), Found::new());
            let engine = if std::str::from_utf8(text).is_ok() { &mut self.utf } else { &mut self.bytes };
            let matched = engine.read(text, self.captures, &mut read).unwrap();
            let verdict = self.scanner.run(text, &mut scanned);
            let shown = String::from_utf8_lossy(text);
            match verdict {
                Verdict::Match => assert_eq!((matched, &scanned), (true, &read), "{shown}"),
                Verdict::NoMatch => assert!(!matched, "{shown}"),
                Verdict::Unsure => {}
            }
            verdict
        }
    }

    #[test]
    fn what_it_decides() {
        #[track_caller]
        fn check(pattern: &str, text: &str, verdict: Verdict) {
            assert_eq!(Both::new(pattern).check(text.as_bytes()), verdict);
        }
        use Verdict::{Match, NoMatch, Unsure};
        check("^%{INT:a} %{DATA:b}$", "-12 x y", Match);
        check("^%{INT:a} %{DATA:b}$", "x", NoMatch);
        check("^%{INT:a} %{DATA:b}$", "x\n1 ", Unsure);
        check("%{INT:a} b", "x 1 b", Unsure);
        check("%{INT:a} b", "x 1", NoMatch);
        check("\\[%{DATA:a}\\] %{GREEDYDATA:b}", "x [y] [z] w", Match);
        check("<%{NOTSPACE:a}> %{GREEDYDATA:b}: %{WORD:c}", "<x>> a: b: c: d", Match);
        check("%{DATA:a}=%{DATA:b}=x", "1=2=y=3=x", Match);
        check("%{NOTSPACE:a}%{NOTSPACE:b}", "éab", Match);
        check("%{NOTSPACE:a}%{WORD:b}", "abé", Unsure);
        check("^(?<a>[^|]*)\\|(?:(?<b>x)|(?<c>[a-z]+)) end", "one|xy end", Match);
        check("%{SYSLOGBASE} %{GREEDYDATA:m}", "Nov  1 02:45:04 web kernel: x: y", Match);
        check("%{SYSLOGLINE}", "2026-11-21T02:45:04.123+01:00 web sshd[12]: x", Match);
        check(
            "%{TIMESTAMP_ISO8601:t} %{LOGLEVEL:l} %{GREEDYDATA:m}",
            "2026-11-21 02:45:04,123 INFO x",
            Match,
        );
        check("\\[\\] %{QS:a} %{GREEDYDATA:b}", "[] \"x\\\ny\" z", Match);
        check("\\[\\] %{QS:a} %{GREEDYDATA:b}", "[] \"x\\", NoMatch);
        check("%{IP:a} %{UUID:b}", "::1 123e4567-e89b-12d3-a456-426614174000", Match);
        check("%{HOSTNAME:a}:%{POSINT:b}", "web:80", Match);
        check("%{HOSTNAME:a}:%{POSINT:b}", "web:x", Unsure);
    }

    #[test]
    fn what_is_for_the_regex() {
        for pattern in [
            "^a|b",
            "(?i)a",
            "(?=a)",
            "(?>a)",
            "a{2}",
            "(?:ab)+",
            ".",
            "[é]",
            "%{DATA}%{WORD}",
            "a++",
            "\\bx",
        ] {
            assert!(Scanner::new(pattern, &Definitions::new(), 0).is_none(), "{pattern}");
        }
        let own = [("WORD".to_owned(), "x".to_owned())].into();
        assert!(Scanner::new("a", &own, 0).is_none());
    }

    fn access_line() -> impl Strategy<Value = String> {
        let address = prop_oneof![
            any::<[u8; 4]>().prop_map(|ip| format!("{}.{}.{}.{}", ip[0], ip[1], ip[2], ip[3])),
            any::<[u16; 8]>().prop_map(|ip| Ipv6Addr::from(ip).to_string()),
            any::<[bool; 8]>().prop_map(|ip| Ipv6Addr::from(ip.map(u16::from)).to_string()),
            "[a-z0-9-]{1,9}(\\.[a-z0-9]{1,5}){0,3}\\.?",
        ];
        let user = prop_oneof![Just("-".to_owned()), "[a-z._-]{1,8}", "[a-z.]{1,5}@[a-z.]{1,5}"];
        let request = prop_oneof![
            "(GET|POST|[A-Z]{1,5}) /[ -~]{0,20}( HTTP/[12](\\.[01])?)?",
            "(GET|POST) /[a-z/?=&é]{0,20} HTTP/1\\.1",
            "[ -~]{0,12}",
            Just("-".to_owned()),
        ];
        let quoted = prop_oneof![
            Just("\"-\"".to_owned()),
            "\"Mozilla/5\\.0 \\([a-zA-Z0-9;:_ .]{0,40}\\)\"",
            "\"([ -!#-\\[\\]-~é]|\\\\.){0,12}\"",
        ];
        let date = prop_oneof![
            "[0-3][0-9]/(Jan|May|Nov|Sept)/20[0-9]{2}:[0-2][0-9]:[0-6][0-9]:[0-6][0-9] [+-]0[0-9]00",
            Just("21/Nov/2026:02:45:04 +0100".to_owned()),
        ];
        let numbers = "(200|404|-|[0-9]{1,4}) (-|[0-9]{1,6}|-1|1\\.5)";
        (address, user.clone(), user, date, request, numbers, quoted.clone(), quoted).prop_map(
            |(address, ident, auth, date, request, numbers, referrer, agent)| {
                format!("{address} {ident} {auth} [{date}] \"{request}\" {numbers} {referrer} {agent}")
            },
        )
    }

    #[test]
    fn scanner_and_regex_agree() {
        let all = RefCell::new(
            [
                "%{COMBINEDAPACHELOG}",
                "^%{COMMONAPACHELOG}",
                "%{NGINXACCESS}$",
                "\\[%{HTTPDATE:d}\\] %{QS:q} %{GREEDYDATA:r}",
                "%{NOTSPACE:a} %{DATA:b} \\[%{DATA:c}\\] \"%{DATA:d}\" %{NUMBER:e} %{NOTSPACE:f}%{DATA:g}$",
            ]
            .map(Both::new),
        );
        let check = |text: &[u8]| {
            for both in all.borrow_mut().iter_mut() {
                both.check(text);
            }
        };
        let byte = prop_oneof![select(b" \"\\[]-.:/@0aA\n".to_vec()), any::<u8>()];
        let changes = prop::collection::vec((any::<Index>(), byte, 0..3), 0..4);
        let config = ProptestConfig::with_cases(2000);
        proptest!(config, |(line in access_line(), changes in changes, noise: Vec<u8>)| {
            check(&noise);
            let mut text = line.into_bytes();
            check(&text);
            for (at, byte, how) in changes {
                let at = at.index(text.len());
                match how {
                    0 => text[at] = byte,
                    1 => text.insert(at, byte),
                    _ => text.truncate(at + 1),
                }
                check(&text);
            }
        });
    }

    const PARTS: [&str; 24] = [
        "%{WORD:a}",
        "%{NUMBER:b}",
        " ",
        "%{INT:c}",
        "%{IPORHOST:d}",
        ":",
        "%{POSINT:e}",
        "%{QS:f}",
        "(?: %{IP:g})?",
        "-",
        "(?:%{NONNEGINT:h}|%{NOTSPACE:i})",
        " *",
        "[a-c]+",
        "%{LOGLEVEL:j}",
        "%{HOSTNAME:k}",
        " ",
        "%{SYSLOGTIMESTAMP:l}",
        "%{DATA:m} ",
        "%{TIMESTAMP_ISO8601:n}",
        "%{GREEDYDATA:o}",
        "%{HTTPDUSER:p}",
        "\\S?",
        "%{URIPATHPARAM:q}",
        "%{UUID:r}",
    ];
    const TEXTS: [&str; 10] = [
        "1.2.3.4",
        "::1",
        "INFO",
        "error",
        "\"x\"",
        "Nov  3 02:45:04",
        "2026-11-21T02:45:04Z",
        " ",
        "é",
        "/a?b",
    ];

    #[test]
    fn any_sequence_of_pieces() {
        let parts = subsequence(PARTS.to_vec(), 1..8).prop_shuffle();
        let word = prop_oneof!["[ :a-c0-9.@-]{0,6}", select(&TEXTS[..]).prop_map(str::to_owned)];
        let texts = prop::collection::vec(prop::collection::vec(word, 0..8), 8);
        let config = ProptestConfig::with_cases(2000);
        proptest!(config, |(parts in parts, texts in texts)| {
            let pattern = parts.concat();
            let captures = expand::expand(&pattern, &Definitions::new()).unwrap().captures.len();
            if Scanner::new(&pattern, &Definitions::new(), captures).is_some() {
                let mut both = Both::new(&pattern);
                for text in texts {
                    both.check(text.concat().as_bytes());
                }
            }
        });
    }

    #[test]
    fn usual_lines_need_no_regex() {
        let mut both = Both::new("%{COMBINEDAPACHELOG}");
        for line in [
            r#"1.2.3.4 - - [21/Nov/2026:02:45:04 +0100] "GET /a?b HTTP/1.1" 200 12 "-" "Mozilla/5.0 (X11) é""#,
            r#"::1 - me [21/Nov/2026:02:45:04 +0100] "GET /" 304 - "http://a/" "a \"b\"""#,
            r#"web-1.example.org - - [21/Nov/2026:02:45:04 -0100] "-" 408 0 "-" "-""#,
        ] {
            assert_eq!(both.check(line.as_bytes()), Verdict::Match, "{line}");
        }
        for line in ["", "2026-11-21 INFO something else", "{\"a\":1}"] {
            assert_eq!(both.check(line.as_bytes()), Verdict::NoMatch, "{line}");
        }
    }
}
