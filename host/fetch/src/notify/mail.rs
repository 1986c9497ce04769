//! Mail by SMTP: over TLS from the first byte (RFC 8314) or from STARTTLS on, or to a server on this machine.

use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Message, transport};
use sluice_model::Secret;
use tokio::net::TcpStream;
use url::Url;

use super::secure_stream::SecureStream;
use super::{Notifier, NotifyError, starttls};

/// How long sending a mail may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A server that takes mail.
#[derive(Clone, Debug)]
pub struct MailServer {
    /// `smtps://host`, `smtp+starttls://host`, or `smtp://localhost` for a relay on this machine.
    pub url: String,
    /// The user there.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
}

/// One message of plain text.
#[derive(Clone, Debug)]
pub struct Mail {
    /// What its `Message-ID` is made of: the same at each attempt.
    pub id: String,
    /// The sender.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub body: String,
}

impl Notifier {
    /// Sends a mail.
    ///
    /// # Errors
    /// Whatever keeps the server from taking it.
    pub async fn mail(&self, server: &MailServer, mail: &Mail) -> Result<(), NotifyError> {
        let message = message(mail)?;
        match tokio::time::timeout(TIMEOUT, send(server, &message)).await {
            Ok(sent) => sent,
            Err(slow) => Err(failed(slow)),
        }
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> NotifyError {
    NotifyError::MailServer(Box::new(error))
}

async fn send(server: &MailServer, message: &Message) -> Result<(), NotifyError> {
    let Address { host, port, security } = Address::of(&server.url)?;
    let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(failed)?;
    let stream: Box<dyn AsyncTokioStream> = match security {
        Security::Tls => Box::new(SecureStream::connect(&host, tcp).await.map_err(failed)?),
        Security::StartTls => Box::new(starttls::secure(&host, tcp).await.map_err(failed)?),
        Security::None => Box::new(tcp),
    };
    let smtp = |error: transport::smtp::Error| failed(error);
    let mut connection =
        AsyncSmtpConnection::connect_with_transport(stream, &ClientId::default()).await.map_err(smtp)?;
    if let (Some(user), Some(password)) = (&server.user, &server.password) {
        let credentials = Credentials::new(user.clone(), password.expose().to_owned());
        connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await.map_err(smtp)?;
    }
    connection.send(message.envelope(), &message.formatted()).await.map_err(smtp)?;
    // It has the mail: how it takes leave doesn't matter.
    let _ = connection.quit().await;
    Ok(())
}

/// Where a server is.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    host: String,
    port: u16,
    security: Security,
}

/// How a connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    /// By TLS from its first byte.
    Tls,
    /// By TLS, before anything else is sent.
    StartTls,
    /// It doesn't leave the machine.
    None,
}

impl Address {
    fn of(url: &str) -> Result<Self, NotifyError> {
        let url = Url::parse(url).map_err(|_| NotifyError::Address)?;
        let host = url.host_str().ok_or(NotifyError::Address)?.trim_matches(['[', ']']).to_owned();
        let is_here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        match url.scheme() {
            "smtps" => Ok(Self { host, port: url.port().unwrap_or(465), security: Security::Tls }),
            "smtp+starttls" => Ok(Self { host, port: url.port().unwrap_or(587), security: Security::StartTls }),
            "smtp" if is_here => Ok(Self { host, port: url.port().unwrap_or(25), security: Security::None }),
            "smtp" => Err(NotifyError::Mail(
                "it would go to another machine in the clear: write smtps:// or smtp+starttls://".to_owned(),
            )),
            _ => Err(NotifyError::Address),
        }
    }
}

fn message(mail: &Mail) -> Result<Message, NotifyError> {
    let wrong = |what: &str, error: &dyn std::fmt::Display| NotifyError::Mail(format!("{what}: {error}"));
    let mailbox = |address: &String| address.parse::<Mailbox>().map_err(|error| wrong(address, &error));
    let from = mailbox(&mail.from)?;
    let id = format!("<{}@{}>", mail.id, from.email.domain());
    let builder: MessageBuilder = Message::builder().message_id(Some(id)).from(from).subject(&mail.subject);
    let builder = mail.to.iter().try_fold(builder, |builder, to| Ok::<_, NotifyError>(builder.to(mailbox(to)?)))?;
    let message = builder.header(ContentType::TEXT_PLAIN).body(mail.body.clone());
    message.map_err(|error| wrong("its header", &error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn another_machine_gets_no_mail_in_the_clear() {
        let of = |url: &str| Address::of(url).map(|address| (address.host, address.port, address.security));
        assert_eq!(of("smtps://mail.example").unwrap(), ("mail.example".to_owned(), 465, Security::Tls));
        assert_eq!(of("smtps://mail.example:4650").unwrap().1, 4650);
        assert_eq!(of("smtp://127.0.0.1:2525").unwrap(), ("127.0.0.1".to_owned(), 2525, Security::None));
        assert_eq!(of("smtp://[::1]").unwrap(), ("::1".to_owned(), 25, Security::None));
        assert_eq!(of("smtp+starttls://mail.example").unwrap(), ("mail.example".to_owned(), 587, Security::StartTls));
        for wrong in ["smtp://mail.example:587", "mail.example", "https://mail.example"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_mail_has_its_id_and_all_recipients() {
        let mail = Mail {
            id: "msg_1".to_owned(),
            from: "Sluice <sluice@example.com>".to_owned(),
            to: vec!["a@example.com".to_owned(), "b@example.com".to_owned()],
            subject: "Störung".to_owned(),
            body: "text".to_owned(),
        };
        let text = String::from_utf8(message(&mail).unwrap().formatted()).unwrap();
        assert!(text.contains("Message-ID: <msg_1@example.com>") && text.contains("b@example.com"), "{text}");
        assert!(message(&Mail { to: vec!["nobody".to_owned()], ..mail }).is_err());
    }
}
