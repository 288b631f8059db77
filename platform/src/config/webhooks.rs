//! Where webhooks may go.
use super::reader::Reader;
use crate::infra::egress::EgressSettings;

pub(super) fn egress(r: &mut Reader<'_>, demo: bool) -> EgressSettings {
    EgressSettings { allow_private: r.flag("WEBHOOK_ALLOW_PRIVATE_TARGETS", demo) }
}
