import Documents
import Steering

/// Bindings with their places in files, for errors about conflicts.
struct PlacedBindings {
    private var bindings: [Binding] = []
    private var places: [Place] = []

    mutating func append(
        at place: Place, _ binding: () throws(SteeringError) -> Binding
    ) throws(DocumentError) {
        do { bindings.append(try binding()) } catch { throw DocumentError("\(place): \(error.message)") }
        places.append(place)
    }

    /// Returns the policy of these bindings; throws if they conflict.
    func policy(options: [Label: LabelOptions] = [:]) throws(DocumentError) -> Policy {
        let policy = Policy(bindings, options: options)
        do { try policy.validate() } catch {
            guard let (first, second) = firstConflict() else { throw DocumentError(error.message) }
            let earlier = places[first].seen(from: places[second])
            throw DocumentError("\(places[second]): conflict with \(earlier): \(self.error(of: first, second))")
        }
        return policy
    }

    private func error(of first: Int, _ second: Int) -> String {
        do {
            try Policy([bindings[first], bindings[second]]).validate()
            return ""
        } catch { return error.message }
    }

    /// Returns the indices of two conflicting bindings: the second is the first one in file order that conflicts with
    /// an earlier one, the first is the earliest of those.
    ///
    /// Adding bindings cannot resolve a conflict, so a binary search finds the shortest conflicting head of the list.
    private func firstConflict() -> (Int, Int)? {
        var (sound, unsound) = (0, bindings.count)
        while unsound - sound > 1 {
            let middle = (sound + unsound) / 2
            if isSound(bindings[..<middle]) { sound = middle } else { unsound = middle }
        }
        guard let second = bindings.indices.last(where: { $0 < unsound }) else { return nil }
        let first = bindings[..<second].firstIndex { !isSound([$0, bindings[second]]) }
        return first.map { ($0, second) }
    }

    private func isSound(_ bindings: ArraySlice<Binding>) -> Bool {
        (try? Policy(bindings).validate()) != nil
    }
}
