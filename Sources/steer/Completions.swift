import ArgumentParser
import Foundation
import Steering

extension CompletionKind {
    /// Named network namespaces.
    static let namespace = CompletionKind.custom { _, _, _ in
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/run/netns")) ?? []
        return names.sorted().map { "/run/netns/\($0)" }
    }

    /// The labels of the steering that --netns, --pid and --bpffs select.
    static let label = CompletionKind.custom { words, _, _ in labels(words) }

    /// Returns a completion of labels for the first argument, and of `rest` for those after it.
    static func label(then rest: [String]) -> CompletionKind {
        .custom { words, index, _ in index <= 2 ? labels(words) : rest }
    }

    private static func labels(_ words: [String]) -> [String] {
        let options = zip(words, words.dropFirst()).filter { ["--netns", "--pid", "--bpffs"].contains($0.0) }
        guard let target = try? Target.parse(options.flatMap { [$0.0, $0.1] }),
            let status = try? target.open(for: .reading).status()
        else { return [] }
        return status.labels.map(\.label.name)
    }
}
