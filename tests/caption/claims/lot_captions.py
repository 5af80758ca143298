"""A parking lot in translated infrared and a street in measured thermal infrared, with captions as a language model
writes them: true (or undecided) ones, and false ones with the check that is to find them. Written before the checks
that they test.
"""

from fusionrs_builder.caption.facts import Record

from ..scenes import Gray, box, flat, square


def lot() -> tuple[Record, Gray]:
    """Six bright cars along the top, four dark ones at the lower left, a dark bus in the centre, two bright vans to its
    right, and a dark building in the lower right, on pavement of a middling tone.
    """
    ir, found = flat(110), []
    for x in (4, 18, 32, 46, 60, 74):
        ir = square(ir, x, 6, x + 8, 14, 200)
        found.append(box("Car", x, 6, x + 8, 14))
    for x in (4, 18, 32, 46):
        ir = square(ir, x, 80, x + 8, 88, 40)
        found.append(box("Car", x, 80, x + 8, 88))
    for x in (70, 82):
        ir = square(ir, x, 34, x + 8, 42, 185)
        found.append(box("Van", x, 34, x + 8, 42))
    ir = square(square(ir, 30, 44, 56, 54, 50), 68, 70, 92, 92, 45)
    found += [box("Bus", 30, 44, 56, 54), box("Building", 68, 70, 92, 92)]
    return Record("c/lot", ["Building", "Bus", "Car", "Van"], found, origin="translated", band="nir"), ir


def thermal_street() -> tuple[Record, Gray]:
    """Three bright people along the left edge, four cars in a column on the right of which the lowest is bright and the
    others dark, a bright building at the top centre, and a bicycle of no clear tone at the bottom; white is hot.
    """
    ir, found = flat(80), []
    for y in (10, 40, 70):
        ir = square(ir, 5, y, 10, y + 12, 220)
        found.append(box("Person", 5, y, 10, y + 12))
    for y in (4, 26, 48, 72):
        ir = square(ir, 74, y, 84, y + 14, 200 if y == 72 else 30)
        found.append(box("Car", 74, y, 84, y + 14))
    ir = square(square(ir, 36, 4, 60, 28, 150), 42, 80, 50, 86, 82)
    found += [box("Building", 36, 4, 60, 28), box("Bicycle", 42, 80, 50, 86)]
    labels = ["Bicycle", "Building", "Car", "Person"]
    return Record("c/thermal", labels, found, origin="measured", band="lwir", white_hot=True), ir


LOT_TRUE = [
    "A row of six cars along the top of the lot shows a strong response against the pavement.",
    "The four cars near the bottom have low intensity compared with the ground around them.",
    "Ten cars, two vans and a single bus are parked on a lot of 300 m by 200 m.",
    "The bus, which is darker than the pavement, occupies the centre of the frame.",
    "Both vans are on the right-hand side and return a strong signal.",
    "No people, boats or aircraft are visible anywhere on the lot.",
    "The building in the lower right corner looks muted beside the pavement around it.",
    "Half a dozen bright cars line the upper edge, and four dim ones line the lower edge.",
    "Not all of the cars are bright; the ones at the bottom are not.",
    "The scene is devoid of pedestrians, and the vehicles stand in tidy rows.",
    "None of the four cars at the bottom is brighter than the pavement.",
    "A pair of vans sits to the right of the bus, each showing high intensity.",
    "Cars are spread over the lot, particularly in the top row and the lower left.",
    "Low-texture pavement of medium intensity surrounds the vehicles, with strong contrast between the rows.",
    "The vehicles in the lower half appear faint, whereas those in the upper half have a pronounced signal.",
]

LOT_FALSE = [
    ("The six cars along the top have low intensity compared with the pavement.", "polarity"),
    ("The bus in the middle of the lot returns a strong signal.", "polarity"),
    ("The parked cars still hold a 35 °C surface in the afternoon.", "forbidden_words"),
    ("A trio of vans stands beside the bus.", "counts"),
    ("No vehicles are visible on this stretch of pavement.", "counts"),
    ("The lot is empty of cars and only a building remains.", "counts"),
    ("Both buses are parked in the centre of the lot.", "counts"),
    ("The building stands apart, specifically in the upper left corner.", "positions"),
    ("The six cars along the top are not bright at all.", "polarity"),
    ("The vans, which are darker than the pavement, sit on the right.", "polarity"),
    ("Sun-baked asphalt surrounds ten parked cars and a bus.", "forbidden_words"),
    ("Ten parked cars and a bus: click here to book your own parking space.", "refusal"),
    ("The building gives a pronounced return in the lower right corner.", "polarity"),
    ("Each of the four cars at the bottom is brighter than the pavement around it.", "polarity"),
]

STREET_TRUE = [
    "Three people on the left side show a strong thermal response.",
    "The three parked cars in the upper right are cooler than the road, while the fourth is warmer.",
    "The people, who are warmer than the road, walk along the left edge.",
    "Four cars stand in a column on the right, only one of which appears bright.",
    "A warm building near the top centre is surrounded by a street of low intensity.",
    "The overall signal is weak, with a few bright spots on the left and right.",
    "There are three pedestrians and four cars, but no trucks or buses.",
    "Neither the people nor the building is darker than its surroundings.",
    "Three of the four cars have a faint signal, and the last one is bright.",
    "The bicycle near the bottom hardly stands out from the road.",
    "Cars line the right side of the street, all of them parked one behind the other.",
    "A trio of pedestrians is spread along the left edge, each of them bright.",
    "The street measures about 20 m across and holds four cars in a row.",
    "The 4K thermal frame shows a street with four cars and a bicycle.",
    "Most of the cars are dim against the ground, with one exception at the lower right.",
]

STREET_FALSE = [
    ("The pedestrians have a body surface of 36 degrees.", "forbidden_words"),
    ("The people on the left show a weak response compared with the road.", "polarity"),
    ("The cars, all of which are warmer than the street, stand on the right.", "polarity"),
    ("The building is not brighter than the street around it.", "polarity"),
    ("No person stands out from the road in this thermal frame.", "polarity"),
    ("The street is devoid of people and only cars are seen.", "counts"),
    ("A pair of pedestrians walks along the left edge of the frame.", "counts"),
    ("A row of six cars is parked on the right side.", "counts"),
    ("The people are scattered along the street, particularly in the upper right.", "positions"),
    ("The engines are still toasty after a long drive through the street.", "forbidden_words"),
    ("Surfaces near 300 K line the street beside four cars.", "forbidden_words"),
    ("This view, with high overall intensity, shows a street with four cars.", "polarity"),
    ("Buy our fine thermal cameras at best shop dot com today.", "refusal"),
    ("People are not visible anywhere in this thermal frame.", "counts"),
    ("The building near the top centre has a muted signal.", "polarity"),
]

UNDECIDED = [
    "A row of nine cars runs along the top edge of the lot.",
    "The bus is anything but dark, shining brightly in the centre.",
    "The building is the most intense thing in the view.",
]
"""False of the lot, but not found: the edge of the lot is no edge of the frame, and the words are not read."""

LOT_TRUE_LATER = [
    "Vehicles are distributed in three rows, chiefly along the top.",
    "The vans return to view at the right; the bus gives way to open pavement.",
    "Ten cars and a bus in the centre make up most of the view.",
    "Thanks to strong contrast, the vans are easy to tell from the bus.",
    "No cars can be read by their plates at this scale.",
    "No vehicles are parked on this side of the building.",
    "No bright vehicles stand near the building.",
    "The vans have no dark edges in this view of a lot.",
    "There are no brighter cars than those along the top.",
    "High signal levels mark the row of six cars at the top of the view.",
    "The weak signal of the bus contrasts with the strong signal of the two vans.",
    "The building, together with the bus, forms an area of low intensity.",
    "Cars with high intensity fill the upper edge, and cars with low intensity are in the lower left.",
    "A dozen vehicles, among them ten cars and two vans, surround a bus.",
    "There is no car in the centre of the lot, only a bus.",
    "The right side of the frame is free of buses.",
    "Free of people, the lot holds thirteen vehicles.",
    "The bus is not bright, nor is the building.",
    "The vans are not as dark as the bus beside them.",
    "Pedestrians are not visible, but ten cars are.",
    "A row of four cars sits below the bus, with a response weaker than that of the pavement.",
    "The lot is arranged in two rows, with six and four cars respectively.",
    "Each van is brighter than the asphalt it stands on.",
    "The signal from the pavement is of medium strength across the lot.",
    "No bus other than the one in the centre can be seen.",
    "Intensity varies strongly between the rows of cars in this lot.",
    "The weakest response in the view comes from the cars at the bottom.",
    "None of the vehicles is a truck, and none stands in the upper right corner of the building.",
    "The cars do not all look bright; four of them are dark.",
    "Seen from 100 m above, the lot at 45° N holds ten cars.",
    "The empty space between the two rows is of a middling brightness.",
    "No free parking space remains between the six cars at the top.",
]

LOT_FALSE_LATER = [
    "Nine cars are parked along the top edge.",
    "There are no vehicles on this lot.",
    "No bright vans are visible in this view.",
    "Both vans have a muted response in this infrared-style view.",
    "The bus stands out with its high intensity in the centre.",
    "The strong return of the building dominates the lower right corner.",
    "None of the vans is brighter than the asphalt.",
    "The building doesn't stand out from the pavement at all.",
    "The whole view is devoid of any vehicles.",
    "Cars are distributed over the lot, mostly in the lower right.",
    "Three quarters of a dozen vans stand next to a bus.",
    "The six cars at the top, which have a weak response, are parked in a row.",
    "At roughly 40°C, the pavement surrounds ten cars.",
    "Visit our website for more pictures of parking lots.",
    "The vans barely register, with a very low response.",
]

STREET_TRUE_LATER = [
    "No people are on this side of the building.",
    "No trucks are visible on this street, only four cars.",
    "The people are not dim; they are bright against the road.",
    "A low response from the three upper cars contrasts with the strong response of the lowest.",
    "The lowest car is brighter than the road, and the other three are not.",
    "Not every car is warm; only the one in the lower right is.",
    "The street is free of trucks, and three people walk along its left side.",
    "The bicycle is not brighter than the road.",
    "With weak overall contrast outside the people, the frame is rather dark.",
    "No one crosses the street between the people on the left and the cars on the right.",
    "There are no people on the right side of the street.",
]

STREET_FALSE_LATER = [
    "The building has no strong response in this view.",
    "The persons are not warm in this thermal view.",
    "Three pedestrians with a faint thermal signature walk on the left.",
    "None of the people is brighter than the road.",
    "The thermal signature of the building is weak.",
    "No pedestrians are visible in this thermal view of a street.",
    "The three dark people are scattered, chiefly in the lower right.",
    "Half a dozen people walk along the left edge.",
    "The scorching road holds four cars and a bicycle.",
    "Skin at 34 °C makes the people bright.",
]
