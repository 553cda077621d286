import AddressPools
import Documents

extension NamePolicyDraft {
    /// The names of all lists.
    struct ReadLists {
        let table: NameTable
        let classes: NameClasses
        let summaries: [NameListSummary]
    }

    /// Returns the identities of the list files; nil if one could change without its identity changing.
    func identitiesOfLists() -> [FileIdentity]? {
        let identities = lists.compactMap { $0.path == "-" ? nil : FileIdentity($0.path) }
        return identities.count == lists.count && identities.allSatisfy(\.isSettled) ? identities : nil
    }

    /// Reads the lists. If they are the same files as those of the previous policy, unchanged, and so are the origins of
    /// the zones, returns its names instead.
    ///
    /// - Throws: Also if all names of a list lie in no zone.
    func readLists(
        of files: inout ServedData.Files, reusing previous: ServedData?, progress: NamePolicyFile.Progress?
    ) throws(NamePolicyError) -> (NameTable, NameClasses) {
        let origins = files.zones.map(\.origin)
        if let previous, let lists = files.readLists, lists == previous.files.readLists,
            files.lists.map(\.name) == previous.files.lists.map(\.name),
            Set(origins) == Set(previous.files.zones.map(\.origin))
        {
            files.summaries = previous.files.summaries
            return (previous.policies.names, previous.policies.classes)
        }
        var current = ""
        var reader = NameListReader(
            zones: ZoneOrigins(origins), progress: progress.map { progress in { progress(current, $0, $1) } })
        do {
            for (number, list) in lists.enumerated() {
                current = list.name
                files.summaries.append(try reader.read(list: number, contentsOf: list.path))
            }
            let problems = problemsOfLists(files.summaries)
            if !problems.isEmpty { throw NamePolicyError(problems) }
            let table = try reader.table()
            return (table, reader.classes)
        } catch let error as NamePolicyError {
            throw error
        } catch let error as DocumentError {
            throw NamePolicyError([error.message])
        } catch let error as ListError {
            throw NamePolicyError([error.message])
        } catch { throw NamePolicyError(["\(error)"]) }
    }

    private func problemsOfLists(_ summaries: [NameListSummary]) -> [String] {
        zip(lists, summaries).compactMap { list, summary in
            guard let first = summary.firstForeign, summary.foreign == summary.names else { return nil }
            let what = summary.names == 1 ? "its name, \(first)," : "its \(summary.names) names, the first \(first),"
            return "\(source.place(list.position)): the list \(list.name) can match nothing, since \(what) "
                + "\(summary.names == 1 ? "lies" : "lie") in no zone: add the zone, or remove the list"
        }
    }

    /// Returns a warning for each list of which some names lie in no zone.
    func warnings(of summaries: [NameListSummary]) -> [String] {
        zip(lists, summaries).compactMap { list, summary in
            guard let first = summary.firstForeign else { return nil }
            return "\(source.place(list.position)): \(summary.foreign) of the \(summary.names) names of the list "
                + "\(list.name) \(summary.foreign == 1 ? "lies" : "lie") in no zone and \(summary.foreign == 1 ? "is" : "are") "
                + "left out, the first \(first): add \(summary.foreign == 1 ? "its zone, or remove it" : "their zones, or remove them")"
        }
    }
}
