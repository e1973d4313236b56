//! SIP clients for people and scripts: watch and publish.
