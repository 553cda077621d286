import CommandSupport
import Steering

/// Remarks about unexpected effects of a command, on standard error.
///
/// They do not stop the command.
enum Remarks {
    private struct Report: Encodable {
        struct Content: Encodable {
            let severity, subject, message: String
            let remedy: String?
        }
        let remark: Content
    }

    /// Prints a line for each finding, or a JSON object.
    static func say(_ findings: [Finding], asJSON: Bool) {
        for finding in findings {
            let remedy = finding.remedy?.description
            if asJSON {
                let content = Report.Content(
                    severity: "\(finding.severity)", subject: finding.subject, message: finding.message, remedy: remedy)
                Journal.print(JSON.text(Report(remark: content)), .error)
            } else {
                let text = "\(finding.severity): \(finding.message)"
                Steer.printError(text + (remedy.map { ": \($0)" } ?? ""))
            }
        }
    }
}

extension Target {
    /// Returns remarks about a policy, or about the new part of one.
    func remarks(on policy: Policy) throws(SteeringError) -> [Finding] {
        Doctor(try namespace(), bpffs: bpffs).remarks(on: policy)
    }
}
