"""Charts tell their lines apart, however many there are."""

from stages.reporting.charts import curves_chart


def test_each_variant_has_a_colour_of_its_own_in_the_order_of_the_ranking() -> None:
    names = [f"v{number}" for number in range(60, 0, -1)]
    chart = curves_chart({name: [{"seed": 0, "images": 8, "fid": 2.0, "other": 1.0}] for name in names})
    scale = chart["encoding"]["color"]["scale"]
    assert scale["domain"] == names
    assert len(set(scale["range"])) == 60
    assert chart["data"]["values"][0] == {"variant": "v60", "seed": 0, "images": 8, "fid": 2.0}
