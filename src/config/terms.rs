//! What is particular about an origin, in sentences: `weir check` says them of a file, `weir explain` of a request.

use http::StatusCode;

use super::Origin;

impl Origin {
    /// What is asked of it, and what its answers mean, beside plain HTTP. Never a secret.
    pub fn terms(&self) -> Vec<String> {
        let mut terms = Vec::new();
        if let Some(aws) = &self.aws {
            let methods: Vec<_> = aws.methods.iter().map(http::Method::as_str).collect();
            terms.push(format!(
                "signs {} for {} in {} (AWS Signature V4) with profile {} of {}; other methods pass unsigned",
                methods.join(", "),
                aws.service,
                aws.region,
                aws.profile,
                aws.credentials_file.display()
            ));
        }
        let secrets = self.set_headers.iter().filter(|(_, value)| value.is_sensitive());
        terms.extend(secrets.map(|(name, _)| format!("sends a secret as {name}")));
        if !self.missing.is_empty() {
            let missing: Vec<_> = self.missing.iter().map(StatusCode::as_str).collect();
            terms.push(format!("takes {} for 404: there is no such object", missing.join(", ")));
        }
        if self.redirects > 0 {
            terms.push(format!("follows up to {} redirects of GET and HEAD to declared origins", self.redirects));
        }
        if self.cookies {
            terms.push("sends its cookies back with the node's own requests; viewers do not see them".to_owned());
        }
        terms
    }
}
