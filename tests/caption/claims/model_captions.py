"""Captions of the records of `test_check.py` in the words that models use of responses, denials, numbers of things,
places, heat and advertising: those that are true (or undecided), and those that are false.
"""

STREET_TRUE = [
    "The three cars at the top have high intensity compared with the ground.",
    "The trucks show a strong response while the ground shows a weak response.",
    "Low-intensity cars stand in the lower left of this view.",
    "This is a low-intensity view of five cars.",
    "The view has strong contrast and a low-texture surface.",
    "The right side has a lower response than the left side.",
    "The cars are not bright in this view of a street.",
    "Not all of the vehicles are bright in this view.",
    "The trucks are not darker than their surroundings.",
    "None of the trucks is darker than its surroundings.",
    "No single vehicle stands out in this view.",
    "Vehicles are scattered across the frame, especially the top left.",
    "Five cars are spread over the scene, particularly in the lower left.",
    "The scene is darker than the visible image, especially in the upper right.",
    "The trucks, which are brighter than the road, stand side by side.",
    "A row of three cars lines the street in this view.",
    "Half a dozen vehicles are parked next to a building.",
    "The scene is devoid of people and ships.",
    "The right side is empty of cars and buildings.",
    "The field is free of cars, but five cars line its edge.",
    "A 4K view of a street with five cars, 300 m wide.",
    "Plan K and block C are marked on this view of a street.",
    "Both trucks are bright, and each of them stands near the centre.",
]

STREET_FALSE = [
    "The three cars at the top have low intensity compared with the ground.",
    "The trucks show a weak response while the ground shows a strong response.",
    "Low-intensity trucks stand near the middle of this view.",
    "A building with a faint signal lies at the bottom of the frame.",
    "The signal of the building is weak in this view.",
    "A weak return comes from the building near the bottom.",
    "A weak return from the building marks the bottom of the frame.",
    "The strongest response lies along the right edge of the frame.",
    "This is a high-intensity view of five cars.",
    "The right side has a stronger response than the left side.",
    "The trucks have lower intensity than their surroundings.",
    "The trucks are not bright in this view of a street.",
    "The building is not brighter than its surroundings.",
    "None of the trucks is brighter than its surroundings.",
    "None of the vehicles stands out against the street.",
    "No truck stands out in this view of a street.",
    "The building does not stand out from the ground.",
    "Neither truck is brighter than the street around it.",
    "There are no bright trucks in this view of a street.",
    "Vehicles are scattered across the frame, especially the top right.",
    "Five cars are spread over the scene, particularly in the lower right.",
    "The trucks, which are darker than the road, stand side by side.",
    "A row of six cars lines the street in this view.",
    "Half a dozen trucks are parked next to a building.",
    "A pair of buildings stands at the bottom of the frame.",
    "The scene is devoid of cars and trucks.",
    "The frame is completely empty of vehicles.",
    "There is no sign of any vehicles in this view.",
    "No vehicles are visible in the frame at all.",
    "There are no cars to be seen in this view.",
    "Vehicles are absent from the scene in this view.",
    "Cars cannot be seen anywhere in this view.",
    "The cars have a 35 °C surface in this view.",
    "The road is at 95 F in the afternoon light.",
    "The road shows a surface of 35 degrees near the cars.",
    "The cars are still toasty after a long drive.",
    "A blazing street with five cars and two trucks.",
    "Cars baking in the sun by a building at noon.",
    "Lukewarm rooftops surround two trucks on a street.",
    "The trucks look hotter than the road they stand on.",
    "Buy our fine product at best shop dot com.",
    "Subscribe to see five cars and two trucks by a building.",
    "As requested, five cars and two trucks by a building.",
    "Five cars and two trucks by a building. I hope this helps.",
    "Each truck is darker than the street around it.",
    "Both of the trucks are dark against the street.",
    "A dozen boats lie next to the building.",
]

THERMAL_TRUE = [
    "A person with a strong thermal response stands in the upper left.",
    "The car shows a weak response near the lower centre.",
]

THERMAL_FALSE = [
    "The car shows a strong thermal response in the lower centre.",
    "The car body reaches 310 K in this frame.",
    "Neither person is warmer than the ground in this frame.",
]

HARBOUR_TRUE = [
    "The ships show a stronger return than the water around them.",
    "The harbour is devoid of cars and people.",
    "The tanks have a low signal in this view of a harbour.",
]

HARBOUR_FALSE = [
    "The ships show a weaker return than the water around them.",
    "The ships are darker than the sea they float on.",
    "Half a dozen ships lie along the lower edge.",
    "The lower half has a strong response and the upper third a weak one.",
]
