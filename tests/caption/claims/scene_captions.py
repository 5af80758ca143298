"""Captions as in `free_captions.py`, of a harbour with boxes and of scenes that have a class and no boxes."""

HARBOUR_TRUE = [
    "Four vessels float on dark water along the bottom of the scene.",
    "A port area where the upper third is bright land and the lower part is dark water.",
    "Three storage tanks in the upper right look darker than the ground they stand on.",
    "The ships glisten as bright shapes on the dark surface below the quay.",
    "One large building in the upper left is the brightest element of the whole view.",
    "Compared with the visible image, bright and dark are reversed here.",
    "The top of the image is considerably brighter than the bottom.",
    "Ships of similar size are moored in a row, each brighter than the water around it.",
    "In the top right corner sit three dark round tanks.",
    "The water fills roughly two thirds of the frame and appears uniformly dark apart from four bright ships.",
    "Eight objects can be told apart: one building, three tanks and four ships.",
    "The harbour basin is dark, whereas the land above it is lighter.",
    "A trio of tanks stands to the right of the building.",
    "A bright warehouse occupies the top left, opposite three darker tanks.",
    "All four ships are lined up along the lower edge of the frame.",
    "The boats are clearly visible against the darker sea.",
    "The overall impression is dark in the lower half and bright along the top.",
    "Strong contrast separates the bright shore from the dark basin.",
    "Nothing but ships breaks the dark surface of the water.",
    "No cars or people can be made out at this scale.",
    "Several ships lie at anchor; the leftmost one sits beneath the building.",
    "The tanks, unlike the ships, are darker than what is around them.",
    "A building stands apart in the upper left, while tanks cluster in the opposite corner.",
    "The lower two thirds of the frame are much darker than the upper third.",
    "The bright building and the dark tanks share the upper part of the view.",
]

HARBOUR_FALSE = [
    ("Five vessels float on dark water along the bottom of the scene.", "counts"),
    (
        "Three storage tanks in the upper right look brighter than the ground they stand on.",
        "polarity",
    ),
    ("The ships appear as dark shapes on the bright water below the quay.", "polarity"),
    ("One large building in the upper left is darker than its surroundings.", "polarity"),
    ("Light and dark closely follow the visible image in this view.", "polarity"),
    ("The bottom of the image is considerably brighter than the top.", "polarity"),
    ("Ships of similar size are moored in a row, each darker than the water around it.", "polarity"),
    ("In the top right corner sit three bright round tanks.", "polarity"),
    ("Nine ships and three tanks can be told apart in this view.", "counts"),
    ("The brightest region spans the bottom of the view.", "polarity"),
    ("A warehouse occupies the lower right, opposite three tanks.", "positions"),
    ("All four ships are lined up along the upper edge of the frame.", "positions"),
    ("The tanks are clustered in the lower left corner.", "positions"),
    ("An airport runway crosses the land in the upper part of the view.", "objects"),
    ("Trucks and cars wait beside the building on the shore.", "objects"),
    ("A crowd of people stands next to the building.", "objects"),
    ("A baseball field lies between the tanks and the building.", "objects"),
    ("Two tanks stand in the upper right corner of the scene.", "counts"),
    ("No ships are visible in this harbour.", "counts"),
    ("A single storage tank stands in the upper right.", "counts"),
    ("Weak contrast makes it hard to tell the ships from the water; the view has very low contrast.", "polarity"),
    ("The upper half is darker than the lower half.", "polarity"),
    ("Every ship is dark in this infrared-style view.", "polarity"),
    ("The darkest area lies in the upper left, where the building is.", "polarity"),
    ("The building is found at the bottom right of the image.", "positions"),
]

CLASSES = {
    "River": (
        [
            "A wide river winds through farmland and forest.",
            "A meandering waterway with fields on both banks.",
            "A bridge crosses the river next to a small town.",
            "Boats and a barge travel on a broad stream.",
        ],
        [
            "An airport with two runways seen from above.",
            "A dense forest seen from above in green tones.",
            "A residential area with many houses in rows.",
        ],
    ),
    "Highway": (
        [
            "A motorway interchange crosses green fields.",
            "A road with several lanes and an overpass.",
            "Cars and trucks drive on a highway past a village.",
        ],
        ["A lake surrounded by forest seen from above.", "A stadium next to a railway station seen from above."],
    ),
    "Forest": (
        [
            "Dense woodland with a dark green canopy.",
            "Trees cover nearly the whole image in this view.",
            "Thick vegetation fills the frame from edge to edge.",
        ],
        ["A harbour with many ships seen from above.", "Open farmland with long narrow plots seen from above."],
    ),
    "SeaLake": (
        [
            "A ship moves across calm open water.",
            "Deep water fills the whole frame with hardly any texture.",
            "A lake with a smooth surface seen from above.",
        ],
        ["A dense residential area with small houses.", "An industrial area with storage tanks."],
    ),
    "Residential": (
        [
            "Rows of houses with gardens and a swimming pool.",
            "A suburb with curved streets and parked cars.",
            "A school and a park lie between blocks of houses.",
        ],
        ["A river delta with islands seen from above.", "Several storage tanks stand by a harbour."],
    ),
    "AnnualCrop": (
        [
            "A patchwork of agricultural fields in brown and green.",
            "Crops grow in rectangular plots beside a farmhouse.",
            "Cultivated land with a few trees and a narrow track.",
        ],
        ["An airport with planes by the terminal.", "A beach with waves and pale sand."],
    ),
    "Industrial": (
        [
            "Large warehouses with flat roofs and parked trucks.",
            "A factory complex with storage tanks and chimneys.",
            "An industrial estate next to a railway.",
        ],
        ["A glacier between steep mountains.", "A wide sandy beach along the sea."],
    ),
    "Pasture": (
        [
            "A green meadow with a few trees.",
            "Grazing land with hedges and a small pond.",
            "Grassland divided by fences in this view.",
        ],
        ["A city with tall towers seen from above.", "A marina with yachts along a pier."],
    ),
    "PermanentCrop": (
        [
            "Rows of olive trees in an orchard.",
            "Vineyards on gently sloping ground seen from above.",
            "Regular plantation rows next to a farm.",
        ],
        ["A wide river with a bridge seen from above.", "A container port with cranes and ships."],
    ),
}
