//! Names of MITRE ATT&CK's tactics and techniques, those that hunts over identities and clouds name; of others the id is
//! enough. Names and ids are MITRE's (attack.mitre.org), of ATT&CK 17.

use super::values::Named;

const TACTICS: [(&str, &str, &str); 14] = [
    ("Reconnaissance", "Reconnaissance", "TA0043"),
    ("ResourceDevelopment", "Resource Development", "TA0042"),
    ("InitialAccess", "Initial Access", "TA0001"),
    ("Execution", "Execution", "TA0002"),
    ("Persistence", "Persistence", "TA0003"),
    ("PrivilegeEscalation", "Privilege Escalation", "TA0004"),
    ("DefenseEvasion", "Defense Evasion", "TA0005"),
    ("CredentialAccess", "Credential Access", "TA0006"),
    ("Discovery", "Discovery", "TA0007"),
    ("LateralMovement", "Lateral Movement", "TA0008"),
    ("Collection", "Collection", "TA0009"),
    ("CommandAndControl", "Command and Control", "TA0011"),
    ("Exfiltration", "Exfiltration", "TA0010"),
    ("Impact", "Impact", "TA0040"),
];

const TECHNIQUES: [(&str, &str); 78] = [
    ("T1003", "OS Credential Dumping"),
    ("T1018", "Remote System Discovery"),
    ("T1021", "Remote Services"),
    ("T1036", "Masquerading"),
    ("T1048", "Exfiltration Over Alternative Protocol"),
    ("T1059", "Command and Scripting Interpreter"),
    ("T1069", "Permission Groups Discovery"),
    ("T1069.003", "Cloud Groups"),
    ("T1070", "Indicator Removal"),
    ("T1071", "Application Layer Protocol"),
    ("T1078", "Valid Accounts"),
    ("T1078.001", "Default Accounts"),
    ("T1078.002", "Domain Accounts"),
    ("T1078.003", "Local Accounts"),
    ("T1078.004", "Cloud Accounts"),
    ("T1087", "Account Discovery"),
    ("T1087.002", "Domain Account"),
    ("T1087.003", "Email Account"),
    ("T1087.004", "Cloud Account"),
    ("T1090", "Proxy"),
    ("T1090.003", "Multi-hop Proxy"),
    ("T1098", "Account Manipulation"),
    ("T1098.001", "Additional Cloud Credentials"),
    ("T1098.002", "Additional Email Delegate Permissions"),
    ("T1098.003", "Additional Cloud Roles"),
    ("T1098.005", "Device Registration"),
    ("T1110", "Brute Force"),
    ("T1110.001", "Password Guessing"),
    ("T1110.002", "Password Cracking"),
    ("T1110.003", "Password Spraying"),
    ("T1110.004", "Credential Stuffing"),
    ("T1111", "Multi-Factor Authentication Interception"),
    ("T1114", "Email Collection"),
    ("T1114.003", "Email Forwarding Rule"),
    ("T1133", "External Remote Services"),
    ("T1136", "Create Account"),
    ("T1136.003", "Cloud Account"),
    ("T1185", "Browser Session Hijacking"),
    ("T1190", "Exploit Public-Facing Application"),
    ("T1195", "Supply Chain Compromise"),
    ("T1199", "Trusted Relationship"),
    ("T1201", "Password Policy Discovery"),
    ("T1204", "User Execution"),
    ("T1212", "Exploitation for Credential Access"),
    ("T1213", "Data from Information Repositories"),
    ("T1482", "Domain Trust Discovery"),
    ("T1484", "Domain or Tenant Policy Modification"),
    ("T1485", "Data Destruction"),
    ("T1486", "Data Encrypted for Impact"),
    ("T1496", "Resource Hijacking"),
    ("T1526", "Cloud Service Discovery"),
    ("T1528", "Steal Application Access Token"),
    ("T1530", "Data from Cloud Storage"),
    ("T1531", "Account Access Removal"),
    ("T1534", "Internal Spearphishing"),
    ("T1537", "Transfer Data to Cloud Account"),
    ("T1538", "Cloud Service Dashboard"),
    ("T1539", "Steal Web Session Cookie"),
    ("T1550", "Use Alternate Authentication Material"),
    ("T1550.001", "Application Access Token"),
    ("T1550.004", "Web Session Cookie"),
    ("T1552", "Unsecured Credentials"),
    ("T1555", "Credentials from Password Stores"),
    ("T1556", "Modify Authentication Process"),
    ("T1556.006", "Multi-Factor Authentication"),
    ("T1557", "Adversary-in-the-Middle"),
    ("T1558", "Steal or Forge Kerberos Tickets"),
    ("T1562", "Impair Defenses"),
    ("T1564", "Hide Artifacts"),
    ("T1566", "Phishing"),
    ("T1566.002", "Spearphishing Link"),
    ("T1567", "Exfiltration Over Web Service"),
    ("T1580", "Cloud Infrastructure Discovery"),
    ("T1586", "Compromise Accounts"),
    ("T1589", "Gather Victim Identity Information"),
    ("T1606", "Forge Web Credentials"),
    ("T1621", "Multi-Factor Authentication Request Generation"),
    ("T1651", "Cloud Administration Command"),
];

/// A tactic as Sentinel writes it, such as `LateralMovement`.
pub(super) fn tactic(text: &str) -> Named {
    match TACTICS.iter().find(|(name, _, _)| *name == text) {
        Some((_, name, id)) => {
            Named { text: format!("{id} {name}"), url: Some(format!("https://attack.mitre.org/tactics/{id}/")) }
        }
        None => Named { text: text.to_owned(), url: None },
    }
}

/// A technique by its id, such as `T1087` or `T1078.004`. What is no id has no link.
pub(super) fn technique(id: &str) -> Named {
    let (main, sub) = id.split_once('.').map_or((id, None), |(main, sub)| (main, Some(sub)));
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_id = main.strip_prefix('T').is_some_and(|rest| digits(rest, 4)) && sub.is_none_or(|sub| digits(sub, 3));
    let known = TECHNIQUES.iter().find(|(known, _)| *known == id);
    Named {
        text: known.map_or_else(|| id.to_owned(), |(_, name)| format!("{id} {name}")),
        url: is_id.then(|| format!("https://attack.mitre.org/techniques/{}/", id.replace('.', "/"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_links_and_nothing_else_has() {
        let named = technique("T1078.004");
        assert_eq!(named.text, "T1078.004 Cloud Accounts");
        assert_eq!(named.url.as_deref(), Some("https://attack.mitre.org/techniques/T1078/004/"));
        assert_eq!(technique("T9999").url.as_deref(), Some("https://attack.mitre.org/techniques/T9999/"));
        for text in ["javascript:alert(1)", "T10870", "T1087.1", "T1087/../x", "", "t1087"] {
            assert_eq!((technique(text).text.as_str(), technique(text).url), (text, None));
        }
        assert_eq!(tactic("LateralMovement").text, "TA0008 Lateral Movement");
        assert_eq!(tactic("javascript:alert(1)").url, None);
    }
}
