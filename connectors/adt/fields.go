package adt

import (
	"strconv"
	"strings"
	"sync"
)

// fieldNames are the standard's names of the fields of the segments that
// matter here, from field 1 on (HL7 2.4 chapters 2 and 3, later fields from
// 2.5).
var fieldNames = sync.OnceValue(func() map[string][]string {
	out := map[string][]string{}
	for segment, names := range map[string]string{
		"MSH": "field separator|encoding characters|sending application|sending facility|receiving application|receiving facility|date/time of message|security|message type|message control id|processing id|version id|sequence number|continuation pointer|accept acknowledgement type|application acknowledgement type|country code|character set|principal language|alternate character set handling|message profile",
		"EVN": "event type code|recorded date/time|planned event date/time|event reason code|operator|event occurred|event facility",
		"PID": "set id|patient id|patient identifier list|alternate patient id|patient name|mother's maiden name|date of birth|sex|patient alias|race|address|county code|home telephone|business telephone|language|marital status|religion|account number|NHS number (SSN)|driver's licence|mother's identifier|ethnic group|birth place|multiple birth|birth order|citizenship|veterans status|nationality|death date/time|death indicator|identity unknown|identity reliability code|last update|last update facility|species code|breed code|strain|production class|tribal citizenship",
		"PD1": "living dependency|living arrangement|primary facility|primary care provider|student|handicap|living will|organ donor|separate bill|duplicate patient|publicity code|protection indicator",
		"NK1": "set id|name|relationship|address|telephone|business telephone|contact role|start date|end date|job title|job code|employee number|organisation name|marital status|sex|date of birth|living dependency|ambulatory status|citizenship|language|living arrangement|publicity code|protection indicator|student|religion|mother's maiden name|nationality|ethnic group|contact reason|contact's name|contact's telephone|contact's address|identifiers",
		"PV1": "set id|patient class|assigned location|admission type|preadmit number|prior location|attending doctor|referring doctor|consulting doctor|hospital service|temporary location|preadmit test|re-admission|admit source|ambulatory status|VIP indicator|admitting doctor|patient type|visit number|financial class|charge price indicator|courtesy code|credit rating|contract code|contract effective date|contract amount|contract period|interest code|transfer to bad debt code|transfer to bad debt date|bad debt agency|bad debt transfer amount|bad debt recovery amount|delete account indicator|delete account date|discharge disposition|discharged to|diet type|servicing facility|bed status|account status|pending location|prior temporary location|admit date/time|discharge date/time",
		"PV2": "prior pending location|accommodation code|admit reason|transfer reason",
		"MRG": "prior identifier list|prior alternate patient id|prior account number|prior patient id|prior visit number|prior alternate visit id|prior patient name",
	} {
		out[segment] = strings.Split(names, "|")
	}
	return out
})

func fieldName(segment string, n int) string {
	if names := fieldNames()[segment]; n <= len(names) {
		return names[n-1]
	}
	return ""
}

// uses says what a field is read for; one that is not here is not read.
var uses = sync.OnceValue(func() map[string]string {
	return map[string]string{
		"MSH-1": "separates fields", "MSH-2": "separates components and the rest", "MSH-3": "finds the feed", "MSH-4": "finds the feed",
		"MSH-5": "returned in the answer", "MSH-6": "returned in the answer", "MSH-7": "zone of times that give none; last resort for the time of the event",
		"MSH-9": "what the event means", "MSH-10": "returned in the answer; with the content, tells copies", "MSH-11": "must be the feed's environment; returned in the answer",
		"MSH-12": "shape of the answer", "MSH-15": "whether the sender wants an accept acknowledgement, in enhanced mode", "MSH-16": "whether it wants an application acknowledgement, in enhanced mode",
		"MSH-18": "character set", "EVN-1": "what the event means, where MSH-9 does not say", "EVN-2": "time of the event, second choice",
		"EVN-5": "who registered the person, sealed", "EVN-6": "time of the event, first choice but for PV1-44",
		"PID-2": "may hold the NHS number; else the hospital's number", "PID-3": "NHS number and hospital number", "PID-4": "may hold the NHS number",
		"PID-5": "confirms that the number is this person's", "PID-7": "confirms that the number is this person's", "PID-8": "kept for matching; nothing rests on it alone",
		"PID-9": "other names", "PID-11": "postcode, for matching", "PID-18": "the visit, where PV1-19 is empty", "PID-19": "may hold the NHS number",
		"PID-21": "the mother's numbers", "PID-24": "one of several born together", "PID-25": "order of birth", "PID-32": "how far the NHS number is traced",
		"NK1-2": "the mother's name, where NK1-33 has her number", "NK1-3": "whether this is the mother", "NK1-33": "the mother's numbers",
		"PV1-2": "obstetrics; pre-admission", "PV1-3": "maternity ward; where somebody is, for the board", "PV1-4": "newborn", "PV1-10": "maternity specialty", "PV1-15": "pregnancy", "PV1-18": "pregnancy",
		"PV1-19": "the visit: one notice, one question", "PV1-44": "time of the event, and when the visit began", "PV2-3": "labour, pregnancy",
		"MRG-1": "the record that is retired", "MRG-3": "the account that is retired", "MRG-4": "the record that is retired, in older messages", "MRG-5": "the visit that is retired",
	}
})

// inClear reports fields that say nothing about who a person is, so that they
// are shown as sent.
func inClear(segment string, n int) bool {
	switch segment {
	case "MSH", "FHS", "BHS", "BTS", "FTS":
		return true
	case "EVN":
		return n != 5
	case "PV1":
		switch n {
		case 1, 2, 3, 4, 10, 14, 15, 16, 18, 36, 44, 45:
			return true
		}
	}
	switch segment + "-" + strconv.Itoa(n) {
	case "PID-1", "PID-24", "PID-25", "PID-32", "NK1-1", "NK1-3", "PV2-1", "AL1-1", "DG1-1", "OBX-1":
		return true
	}
	return false
}

// shown are the components of a masked field that say what kind of thing it
// is: the authority and type of an identifier, the use of a name or address.
func shown(at string, component int) bool {
	switch at {
	case "PID-2", "PID-3", "PID-4", "PID-18", "PID-19", "PID-21", "NK1-33", "PV1-19", "MRG-1", "MRG-2", "MRG-3", "MRG-4", "MRG-5":
		return component == 4 || component == 5
	case "PID-5", "PID-9", "PID-11", "NK1-2", "MRG-7":
		return component == 7
	}
	return false
}
