//! The client's half of the SASL mechanisms: tokens in, tokens out.
//!
//! PLAIN is RFC 4616, SCRAM RFC 5802 and RFC 7677, OAUTHBEARER RFC 7628. Names and passwords
//! are sent as they are: as in Kafka's own client there is no SASLprep.

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

/// More rounds than any server asks for; a hostile one could keep the client busy for long.
const ITERATIONS_MAX: u32 = 1_000_000;

/// What a client proves its identity with.
#[derive(Clone)]
pub enum Credentials {
    /// Name and password, readable for whoever reads the connection.
    Plain {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// Name and a proof of knowing the password; the server proves to know it as well.
    Scram {
        /// Which of the two.
        hash: ScramHash,
        /// The name.
        user: String,
        /// The password.
        password: String,
        /// At least 128 bits that nobody can guess, printable and without a comma; new ones
        /// for each exchange.
        nonce: String,
    },
    /// A token from elsewhere.
    OauthBearer {
        /// The token, as it was issued.
        token: String,
        /// Further names and values for the server.
        extensions: Vec<(String, String)>,
    },
}

/// The hash of a SCRAM mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramHash {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

impl Credentials {
    /// The name of the mechanism.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Credentials::Plain { .. } => "PLAIN",
            Credentials::Scram { hash: ScramHash::Sha256, .. } => "SCRAM-SHA-256",
            Credentials::Scram { hash: ScramHash::Sha512, .. } => "SCRAM-SHA-512",
            Credentials::OauthBearer { .. } => "OAUTHBEARER",
        }
    }
}

impl fmt::Debug for Credentials {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("mechanism", &self.mechanism()).finish_non_exhaustive()
    }
}

/// Why the exchange cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// The server's message is not one of this mechanism.
    #[error("the server's SCRAM message has no proper {0}")]
    Message(&'static str),
    /// The server began another exchange than ours.
    #[error("the server's nonce does not begin with ours")]
    Nonce,
    /// The server refused.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The server does not know the password, so it is not who it claims to be.
    #[error("the server's signature is wrong")]
    Signature,
}

/// One exchange, from the first token to the last.
#[derive(Debug)]
pub struct Exchange {
    credentials: Credentials,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Begun,
    /// SCRAM: what the client said first, without the channel binding header.
    First(String),
    /// SCRAM: the signature that the server must show.
    Final(Vec<u8>),
    Done,
}

impl Exchange {
    /// Begins with the client's first token.
    pub fn begin(credentials: Credentials) -> (Self, Vec<u8>) {
        let mut step = Step::Begun;
        let token = match &credentials {
            Credentials::Plain { user, password } => format!("\0{user}\0{password}"),
            Credentials::Scram { user, nonce, .. } => {
                let first = format!("n={},r={nonce}", user.replace('=', "=3D").replace(',', "=2C"));
                let token = format!("n,,{first}");
                step = Step::First(first);
                token
            }
            Credentials::OauthBearer { token, extensions } => {
                let mut message = format!("n,,\x01auth=Bearer {token}\x01");
                for (name, value) in extensions {
                    message.push_str(&format!("{name}={value}\x01"));
                }
                message.push('\x01');
                message
            }
        };
        (Self { credentials, step }, token.into_bytes())
    }

    /// The name of the mechanism.
    pub fn mechanism(&self) -> &'static str {
        self.credentials.mechanism()
    }

    /// Takes the server's token and gives the next of the client; none: the exchange is over
    /// and the server is who it should be.
    pub fn answer(&mut self, token: &[u8]) -> Result<Option<Vec<u8>>, SaslError> {
        match (&self.credentials, std::mem::replace(&mut self.step, Step::Done)) {
            (Credentials::Scram { hash, password, nonce, .. }, Step::First(first)) => {
                let (token, signature) = prove(*hash, password, nonce, &first, token)?;
                self.step = Step::Final(signature);
                Ok(Some(token.into_bytes()))
            }
            (Credentials::Scram { hash, .. }, Step::Final(signature)) => {
                verify(*hash, &signature, token).map(|()| None)
            }
            // The server tells a failure as JSON and waits for this byte before it ends.
            (Credentials::OauthBearer { .. }, Step::Begun) if !token.is_empty() => Ok(Some(vec![1])),
            _ => Ok(None),
        }
    }
}

/// The client's final message, and the signature that the server must answer with.
fn prove(
    hash: ScramHash,
    password: &str,
    nonce: &str,
    first: &str,
    server_first: &[u8],
) -> Result<(String, Vec<u8>), SaslError> {
    let server_first = std::str::from_utf8(server_first).map_err(|_| SaslError::Message("text"))?;
    if let Some(reason) = attribute(server_first, "e=") {
        return Err(SaslError::Refused(reason.to_owned()));
    }
    let full_nonce = attribute(server_first, "r=").ok_or(SaslError::Message("nonce"))?;
    if !full_nonce.starts_with(nonce) || full_nonce.len() == nonce.len() {
        return Err(SaslError::Nonce);
    }
    let salt = attribute(server_first, "s=").and_then(|salt| STANDARD.decode(salt).ok());
    let salt = salt.ok_or(SaslError::Message("salt"))?;
    let rounds = attribute(server_first, "i=").and_then(|rounds| rounds.parse().ok());
    let rounds = rounds.filter(|rounds: &NonZeroU32| rounds.get() <= ITERATIONS_MAX);
    let rounds = rounds.ok_or(SaslError::Message("number of rounds"))?;

    let (derivation, hmac_hash, plain_hash) = match hash {
        ScramHash::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, hmac::HMAC_SHA256, &digest::SHA256),
        ScramHash::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, hmac::HMAC_SHA512, &digest::SHA512),
    };
    let mut salted = vec![0; plain_hash.output_len()];
    pbkdf2::derive(derivation, rounds, &salt, password.as_bytes(), &mut salted);
    let salted = hmac::Key::new(hmac_hash, &salted);
    let client_key = hmac::sign(&salted, b"Client Key");
    let stored_key = digest::digest(plain_hash, client_key.as_ref());
    // "biws" is the channel binding header "n,,": there is none.
    let last = format!("c=biws,r={full_nonce}");
    let whole = format!("{first},{server_first},{last}");
    let signature = hmac::sign(&hmac::Key::new(hmac_hash, stored_key.as_ref()), whole.as_bytes());
    let pairs = client_key.as_ref().iter().zip(signature.as_ref());
    let proof: Vec<u8> = pairs.map(|(key, signature)| key ^ signature).collect();

    let server_key = hmac::sign(&salted, b"Server Key");
    let expected = hmac::sign(&hmac::Key::new(hmac_hash, server_key.as_ref()), whole.as_bytes());
    Ok((format!("{last},p={}", STANDARD.encode(proof)), expected.as_ref().to_vec()))
}

fn verify(hash: ScramHash, expected: &[u8], server_final: &[u8]) -> Result<(), SaslError> {
    let message = std::str::from_utf8(server_final).map_err(|_| SaslError::Message("text"))?;
    if let Some(reason) = attribute(message, "e=") {
        return Err(SaslError::Refused(reason.to_owned()));
    }
    let shown = attribute(message, "v=").and_then(|shown| STANDARD.decode(shown).ok());
    let shown = shown.ok_or(SaslError::Message(match hash {
        ScramHash::Sha256 => "SHA-256 signature",
        ScramHash::Sha512 => "SHA-512 signature",
    }))?;
    if shown == expected { Ok(()) } else { Err(SaslError::Signature) }
}

fn attribute<'m>(message: &'m str, name: &str) -> Option<&'m str> {
    message.split(',').find_map(|part| part.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scram(hash: ScramHash, nonce: &str) -> Credentials {
        let (user, password) = ("user".to_owned(), "pencil".to_owned());
        Credentials::Scram { hash, user, password, nonce: nonce.to_owned() }
    }

    /// The exchange of RFC 7677, section 3.
    #[test]
    fn scram_as_in_the_rfc() {
        let (mut exchange, first) = Exchange::begin(scram(ScramHash::Sha256, "rOprNGfwEbeRWgbNEkqO"));
        assert_eq!(first, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let server_first =
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let last = exchange.answer(server_first).unwrap().unwrap();
        assert_eq!(
            String::from_utf8(last).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let signature = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(exchange.answer(signature), Ok(None));
    }

    #[test]
    fn a_false_server_is_found_out() {
        #[track_caller]
        fn check(server_first: &str, expected: SaslError) {
            let (mut exchange, _) = Exchange::begin(scram(ScramHash::Sha512, "abc"));
            assert_eq!(exchange.answer(server_first.as_bytes()), Err(expected));
        }
        check("r=xbcd,s=AAAA,i=4096", SaslError::Nonce);
        check("r=abc,s=AAAA,i=4096", SaslError::Nonce);
        check("r=abcd,s=*,i=4096", SaslError::Message("salt"));
        check("r=abcd,s=AAAA,i=0", SaslError::Message("number of rounds"));
        check("r=abcd,s=AAAA,i=4000000000", SaslError::Message("number of rounds"));
        check("s=AAAA", SaslError::Message("nonce"));
        check("e=unknown-user", SaslError::Refused("unknown-user".to_owned()));

        for (last, expected) in [
            ("v=AAAA", SaslError::Signature),
            ("", SaslError::Message("SHA-512 signature")),
            ("e=invalid-proof", SaslError::Refused("invalid-proof".to_owned())),
        ] {
            let (mut exchange, _) = Exchange::begin(scram(ScramHash::Sha512, "abc"));
            exchange.answer(b"r=abcd,s=AAAA,i=1").unwrap().unwrap();
            assert_eq!(exchange.answer(last.as_bytes()), Err(expected));
        }
    }

    #[test]
    fn names_and_tokens() {
        let plain = Credentials::Plain { user: "a".to_owned(), password: "b".to_owned() };
        assert_eq!(Exchange::begin(plain).1, b"\0a\0b");
        let (user, password, nonce) = ("a=b,c".to_owned(), String::new(), "n".to_owned());
        let odd = Credentials::Scram { hash: ScramHash::Sha256, user, password, nonce };
        assert_eq!(Exchange::begin(odd.clone()).1, b"n,,n=a=3Db=2Cc,r=n");
        assert_eq!(format!("{odd:?}"), r#"Credentials { mechanism: "SCRAM-SHA-256", .. }"#);
        let extensions = vec![("scope".to_owned(), "logs".to_owned())];
        let (mut exchange, first) =
            Exchange::begin(Credentials::OauthBearer { token: "t".to_owned(), extensions });
        assert_eq!(first, b"n,,\x01auth=Bearer t\x01scope=logs\x01\x01");
        assert_eq!(exchange.answer(br#"{"status":"invalid_token"}"#), Ok(Some(vec![1])));
        assert_eq!(exchange.answer(b""), Ok(None));
    }
}
