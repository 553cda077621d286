import ArgumentParser
import CommandSupport
import Steering

struct SetLabel: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "label",
        abstract: "Set what happens to a label's packets while it has no socket.",
        discussion: """
            They are refused, so that traffic never reaches another listener by accident; or they pass to the \
            kernel's ordinary lookup.

              steer label web --without-socket pass
            """)

    enum Choice: String, ExpressibleByArgument, CaseIterable {
        case refuse, pass
    }

    @Argument(help: "The label.", completion: .label)
    var label: String

    @Option(help: ArgumentHelp("refuse, the default of every label, or pass.", valueName: "outcome"))
    var withoutSocket: Choice

    @OptionGroup var target: Target

    func run() throws {
        let label = try steer.label(label)
        let options = LabelOptions(withoutSocket: withoutSocket == .pass ? .pass : .refuse)
        let steering = try target.open(for: .changing)
        let place = try target.place()
        var isBound = true
        try steering.update { policy in
            policy[label] = options
            isBound = policy.bindings.contains { $0.outcome == .label(label) }
        }
        let notes = isBound ? nil : [place.noBinding(of: label)]
        if target.json {
            print(JSON.text(Report(label: label.name, withoutSocket: withoutSocket.rawValue, notes: notes)))
        } else {
            for note in notes ?? [] { print("note: \(note)") }
        }
    }

    private struct Report: Encodable {
        let label, withoutSocket: String
        /// Sentences; `nil` if there are none.
        let notes: [String]?
    }
}
