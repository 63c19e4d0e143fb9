package population

// Origin is where a family's names come from: names of one origin go together,
// so that strangers of one origin are more alike than chance would have it, and
// a matcher may serve one worse than another.
type Origin string

// Origins that are told apart.
const (
	Other      Origin = "other"
	Muslim     Origin = "muslim heritage"
	SouthAsian Origin = "indian and sikh"
	Polish     Origin = "polish"
	Vietnamese Origin = "vietnamese and chinese"
	Hyphenated Origin = "double family name"
)

// Origins lists them.
func Origins() []Origin { return []Origin{Other, Muslim, SouthAsian, Polish, Vietnamese, Hyphenated} }

// shared is how many in a hundred families have names of an origin (about, in
// England), and the names. What is not named here counts as other.
type shared struct {
	share         float64
	given, family string
}

func namedOrigins() map[Origin]shared {
	return map[Origin]shared{
		Muslim: {0.08, `muhammad mohammed mohammad muhammed mohamed mohamad ahmed ahmad ali yusuf yousuf yousef hamza abdullah omar umar bilal zayn zain hassan hasan
			hussain husain abdul abdulrahman syed ismail musa mustafa eesa isa yahya haris ibrahim idris tariq faisal imran khalid zakariya zakaria ayaan ayan kareem
			karim malik amir ameer adam rayyan rayan ayman anas uthman usman sulaiman suleiman junaid saad samir salman shayan taha yaseen younus zubair
			aisha ayesha aaisha maryam mariam fatima fatimah zainab zaynab khadija khadijah amina aminah hafsa hafsah sumaya sumayyah safa noor nur hiba iqra hajra inaaya
			inaya anaya alisha aliza yasmin leila layla nadia samira halima aaliyah aliyah safiya safiyyah sara sarah zara zahra ruqayyah salma sidra umaymah laiba`,
			`khan hussain ahmed ali begum mahmood iqbal malik hassan ibrahim rahman uddin miah islam hossain abdi yusuf osman warsame bibi aslam mohamed mohammed
			akhtar chaudhry choudhury chowdhury ahmad hussein akram ashraf aziz bashir butt hamid javed khalid khatun mirza mohammad mustafa qureshi rashid raza saleem
			shaikh sheikh siddiqui sultana yousaf zaman abdullah abdul farah jama omar`},
		SouthAsian: {0.04, `arjun aarav rohan dev krish aryan vihaan ishaan kabir aditya ananya aanya diya priya riya saanvi isha kavya meera simran jasleen harleen kiran
			anika navya tara sana ravi rahul karan jaspreet gurpreet manpreet harpreet rajan nikhil shreya pooja neha`,
			`patel shah sharma gupta kumar desai mistry joshi mehta gill sandhu dhillon sidhu rai das roy kaur singh parmar chauhan bains grewal solanki rana verma reddy
			rao nair`},
		Polish: {0.02, `jakub filip kacper szymon oskar antoni jan michal mateusz wiktor piotr nikodem aleksander adrian dawid igor bartosz marcel tymon franciszek stanislaw
			wojciech zuzanna maja lena hanna oliwia nikola wiktoria natalia aleksandra zofia gabriela antonina pola kaja weronika kinga milena martyna magdalena alicja`,
			`nowak kowalski wisniewski wojcik kowalczyk kaminski lewandowski zielinski szymanski wozniak dabrowski mazur krawczyk kowalska wisniewska lewandowska kaminska
			zielinska szymanska dabrowska kozlowski jankowski wojciechowski kwiatkowski piotrowski grabowski pawlowski michalski nowakowski adamczyk dudek zajac wieczorek`},
		Vietnamese: {0.015, `minh anh duc quang long huy nam bao linh mai thao ngoc trang vy an khang phuc wei jun ming hui xin yi jia hao chen yan ling mei`,
			`nguyen tran le pham huynh hoang phan vu vo dang bui chen wang li zhang liu wong chan cheung lam ng lau leung ho tang yang huang wu lin cheng`},
	}
}

// Shares of names that no table has.
const (
	unlistedGiven  = 2e-5
	unlistedFamily = 1e-4
)
