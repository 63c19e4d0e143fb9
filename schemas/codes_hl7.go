package schemas

func hl7Codes() []Entry { return nil }
