# From `cargo metadata` to CycloneDX 1.6. $linked and $all are lines of "name version", $checksums of "name version
# sha256", $made is the time of the commit.
def lines: split("\n") | map(select(. != ""));
def key: "\(.name) \(.version)";
# Versions hold a +, which a package URL writes as %2B.
def purl: "pkg:cargo/\(.name)@\(.version | @uri)";
# Cargo still takes the / of old crates for OR.
def spdx: gsub("(?<a>[^ ])/(?<b>[^ ])"; "\(.a) OR \(.b)");

($linked | lines | map({key: ., value: true}) | from_entries) as $linked
| ($all | lines | map({key: ., value: true}) | from_entries) as $all
| ($checksums | lines | map(split(" ") | {key: "\(.[0]) \(.[1])", value: .[2]}) | from_entries) as $checksums
| (.packages | map({key: .id, value: .}) | from_entries) as $packages
| def component: {
    type: "library",
    "bom-ref": purl,
    name, version, purl: purl,
    scope: (if $linked[key] then "required" else "excluded" end),
    licenses: [{expression: (.license // "" | spdx)}]
  }
  + (if .description then {description: (.description | gsub("\\s+"; " "))} else {} end)
  + (if .repository then {externalReferences: [{type: "vcs", url: .repository}]} else {} end)
  + (if $checksums[key] then {hashes: [{alg: "SHA-256", content: $checksums[key]}]} else {} end);
{
  bomFormat: "CycloneDX",
  specVersion: "1.6",
  version: 1,
  metadata: ((.packages[] | select(.name == "tenantry-app") | {component: (component + {type: "application"} | del(.scope))})
    + (if $made == "" then {} else {timestamp: $made} end)),
  components: [.packages[] | select($all[key] and .name != "tenantry-app") | component] | sort_by(."bom-ref"),
  dependencies: [.resolve.nodes[] | select($all[$packages[.id] | key]) | {
    ref: ($packages[.id] | purl),
    dependsOn: [.deps[] | select(any(.dep_kinds[]; .kind != "dev")) | $packages[.pkg]
      | select($all[key]) | purl] | unique
  }] | sort_by(.ref)
}
