"""The resolution of variables: references to the task, to inputs and to what steps gave, types kept."""

from ensemble.team import PlanError, UnknownOutput, resolve

inputs = {"company": "ACME", "years": [2023, 2024]}
results = {
    "market": {"report": "It grew.", "size": 4.1, "rows": [{"name": "pumps"}, {"name": "panels"}]},
    "critic": "Too dear.",
}

print(resolve("{{ task }} of {{ start.company }}: {{ market.report }}", task="Q3", inputs=inputs, results=results))
print(resolve("{{ market.data.rows[1].name }} and {{ critic }}", results=results))
print(resolve({"years": "{{ start.years }}", "size": "{{ market.size }}"}, inputs=inputs, results=results))

try:
    resolve("{{ markt.report }}", results=results)
except PlanError as error:
    print(error)
try:
    resolve("{{ market.price }}", results={"market": {"report": "It grew.", "summary": "Up."}})
except UnknownOutput as error:
    print(error)
