"""Beyond: what section 6 of the paper proposes, simulated with the code that answers queries."""
import figures

TITLE = "Beyond: a route leak, and the name under attack"


def run(context):
    size = context.size
    context.say("a route leak, detected and drained")
    catchment = context.simulate("catchment", [
        "--requests-per-second", 1000, "--ttl", 60, "--baseline", 0.02, "--seconds", size.leakless, "--trials", size.trials,
        *(word for leak in (0.005, 0.01, 0.05, 0.2) for word in ("--leak", leak))])
    context.say(f"the name under attack, of {size.names:,}")
    search = context.simulate("search", [
        "--names", size.names, "--slices", 256, "--ttl", 60, "--attack", 0.2, "--trials", size.searches])
    return {"catchment": catchment, "search": search}


def section(result, output):
    catchment, search = result["catchment"], result["search"]
    rows = []
    for leak in catchment["leaks"]:
        detect, drain = leak["secondsToDetect"], leak["secondsToDrain"]
        rows.append([f"{leak['leak']:.1%}", f"{leak['detected']} of {leak['trials']}", f"{detect['median']:.1f}", f"{detect['worst']:.1f}",
                     f"{drain['median']:.1f}", f"{drain['worst']:.1f}", leak["misattributed"]])
    leaks = figures.table(["clients that leak", "detected", "seconds to detect, median", "worst", "alarm to drained, median", "worst",
                           "blamed on the wrong site"], rows)
    rows = []
    for trial in search["onNames"]:
        rows.append([trial["attacked"].split(".")[0], "a name", " → ".join(f"{count:,}" for count in trial["left"]), trial["rounds"],
                     f"{trial['seconds']:,}", trial["found"].split(".")[0], "yes" if trial["isRight"] else "**no**"])
    for trial in search["onAddress"][:1]:
        rows.append(["an address", "an address", "", trial["rounds"], f"{trial['seconds']:,}", trial["found"],
                     "yes" if trial["isRight"] else "**no**"])
    trials = figures.table(["attacked", "is", "names left", "rounds", "seconds", "found", "right"], rows)
    hours = catchment["leaklessSeconds"] / 3600
    return f"""\
*Simulated*; the server's own code gives every answer, from a policy file.

**A route leak**: each of two points of presence answers names from a prefix of its own (`site:`), and both prefixes are announced at both.
{catchment['baseline']:.0%} of the clients always arrive at another point of presence than their resolver. A one-sided CUSUM on the share of foreign
connections against a learned baseline raises the alarm; then the names of that site are answered from a third prefix, and the old one is
drained when caches have expired (TTL {catchment['ttl']} s). {catchment['requestsPerSecond']:,} connections per second. In {hours:.3g} hours without a leak: {catchment['falseAlarms']} false alarms.

{leaks}
**The name under attack**: the suspected names are divided into {search['slices']} slices, each with an address of its own; a TTL ({search['ttl']} s) later the
address that the attack has moved to identifies the slice. {search['names']:,} names, Zipf; an attack of {search['attack']:.0%} of {search['requestsPerSecond']:,} requests
per second. An attack that stays when names move is on the address: {search['addressesFound']} of {len(search['onAddress'])} were recognized, and {search['namesFound']} of {len(search['onNames'])} names found.

{trials}
The paper proposes both as uses of agile addresses (section 6). By k-ary search, k = {search['slices']}, {search['names']:,} names
need {search['roundsExpected']} rounds.
"""
