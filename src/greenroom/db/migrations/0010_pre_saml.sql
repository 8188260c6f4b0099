-- Sign-on at SAML 2.0 identity providers. In a SAML provider, `issuer` is the entity ID of the identity provider,
-- `client_id` that of Greenroom, and `id_token_encrypted` of a log-in contains its NameID.

ALTER TABLE sign_on_providers
    ADD COLUMN protocol              text NOT NULL DEFAULT 'oidc' CHECK (protocol IN ('oidc', 'saml')),
    ADD COLUMN metadata_url          text NOT NULL DEFAULT '',  -- address of the metadata; '' = metadata_xml is used
    ADD COLUMN metadata_xml          text NOT NULL DEFAULT '',
    ADD COLUMN subject_attribute     text NOT NULL DEFAULT '',  -- attribute with the subject; '' = persistent NameID
    ADD COLUMN service_key_encrypted bytea,                     -- the key of Greenroom and its certificate
    ADD CONSTRAINT sign_on_providers_saml CHECK (protocol = 'oidc' OR service_key_encrypted IS NOT NULL);

-- The assertions that were used. An assertion cannot be used again before `expires`. The answer waits until the browser
-- brings the code, for a few seconds.
CREATE TABLE saml_assertions (
    issuer           text NOT NULL,
    assertion_id     text NOT NULL,
    expires          timestamptz NOT NULL,
    created          timestamptz NOT NULL DEFAULT now(),
    code_hash        bytea CONSTRAINT saml_assertions_code_unique UNIQUE,    -- sha256; null = the answer was taken
    answer_encrypted bytea,
    PRIMARY KEY (issuer, assertion_id)
);
CREATE INDEX saml_assertions_expires ON saml_assertions (expires);
