// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Clients of other servers, and their answers, which are never longer than the reader expects.

mod client;

use bytes::{Bytes, BytesMut};
use reqwest::Response;

pub use client::client_builder;

/// Why an answer could not be read completely.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The answer is longer than this.
    #[error("it has more than {0} bytes")]
    TooLong(usize),
    /// The answer ended early.
    #[error("it broke off")]
    Broken(#[source] reqwest::Error),
}

/// Returns the complete body of at most `limit` bytes. If a longer one is announced, nothing is read.
///
/// # Errors
/// See [`AnswerError`]. The error of a broken answer contains no URL.
pub async fn whole(mut response: Response, limit: usize) -> Result<Bytes, AnswerError> {
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(AnswerError::TooLong(limit));
    }
    let mut whole = BytesMut::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| AnswerError::Broken(error.without_url()))?
    {
        if whole.len() + chunk.len() > limit {
            return Err(AnswerError::TooLong(limit));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Returns the result for an answer with this head, whose body is sent for as long as it is read.
    async fn endless(head: &'static str) -> Result<Bytes, AnswerError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            stream.write_all(head.as_bytes()).await.unwrap();
            while stream.write_all(&[b' '; 8192]).await.is_ok() {}
            std::future::pending::<()>().await;
        };
        let client = async {
            let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
            whole(client.get(url).send().await.unwrap(), 100_000).await
        };
        tokio::select! {
            () = server => unreachable!(),
            whole = client => whole,
        }
    }

    #[tokio::test]
    async fn an_answer_has_a_limit_whether_or_not_it_says_how_long_it_is() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"] {
            assert!(matches!(endless(head).await, Err(AnswerError::TooLong(100_000))), "{head}");
        }
    }
}
