"""Times with their zone and dates as in the kit's own pages, so that the admin has one form of each."""

DATE_FORMAT = SHORT_DATE_FORMAT = "Y-m-d"
TIME_FORMAT = "H:i T"
DATETIME_FORMAT = SHORT_DATETIME_FORMAT = "Y-m-d H:i T"
