import PolicyFiles
import ServiceSupport
import Steering

/// The allowances of the last valid policy file, stored beside the sockets for a steerd that finds the file invalid.
/// Start commands are not stored: they come from the file alone.
enum StoredAllowances {
    /// The name in the service manager's store. Unlike those of a label's descriptors, it contains no @.
    static let name = "allowances"

    /// One line for each label, such as `web 33,1000 -`: users and groups by number.
    static func text(_ service: ServicePolicy) -> String {
        service.services.sorted { $0.key < $1.key }.map { label, options in
            "\(label) \(text(options.allowance.users)) \(text(options.allowance.groups))\n"
        }.joined()
    }

    static func read(_ text: String) -> [Label: ServiceOptions] {
        var services: [Label: ServiceOptions] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 3, let label = try? Label(words[0]) else { continue }
            let allowance = Allowance(users: numbers(words[1]), groups: numbers(words[2]))
            services[label] = ServiceOptions(allowance: allowance)
        }
        return services
    }

    static func read(_ file: SharedDescriptor) throws(SteeringError) -> [Label: ServiceOptions] {
        read(String(decoding: try MemoryFile.contents(of: file), as: UTF8.self))
    }

    private static func text(_ numbers: Set<UInt32>) -> String {
        numbers.isEmpty ? "-" : numbers.sorted().map { "\($0)" }.joined(separator: ",")
    }

    private static func numbers(_ text: Substring) -> Set<UInt32> {
        Set(text.split(separator: ",").compactMap { UInt32($0) })
    }
}

extension Notifier {
    /// Stores the allowances in place of those stored before.
    func store(allowancesOf service: ServicePolicy) {
        guard let file = try? MemoryFile.make(StoredAllowances.name, Array(StoredAllowances.text(service).utf8)) else {
            return
        }
        replace(StoredAllowances.name, by: file)
    }
}
